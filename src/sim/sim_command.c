#include "sim/sim_command.h"

#define SIM_COMMAND_ROW(id, name, arity, first, last, step, value, value_step, flags, kinds)       \
    {SIM_##id, name, arity, first, last, step, value, value_step, flags, kinds},
static const struct sim_command commands[SIM_COMMANDS] = {SIM_COMMAND_LIST(SIM_COMMAND_ROW)};

const struct sim_command *sim_command_of(enum sim_command_id id)
{
    CHECK(id < SIM_COMMANDS);
    return &commands[id];
}

#define SIM_COMMAND_BYTES(id, name, arity, first, last, step, value, value_step, flags, kinds)     \
    sizeof(name) - 1,
static const uint8_t name_bytes[SIM_COMMANDS] = {SIM_COMMAND_LIST(SIM_COMMAND_BYTES)};

const struct sim_command *sim_command_find(struct slice name)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (name.len == name_bytes[i] && (name.data[0] & 0x5f) == (commands[i].name[0] & 0x5f) &&
            slice_eq_nocase(name, (struct slice){(const uint8_t *)commands[i].name, name.len})) {
            return &commands[i];
        }
    }
    return NULL;
}

static bool is_one_of(struct slice word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq_nocase(word, slice_str(words[i]))) {
            return true;
        }
    }
    return false;
}

bool sim_command_keyless(struct slice name)
{
    static const char *const names[] = {
        "ping",    "echo",     "hello",     "auth",  "reset",  "quit",    "select",  "client",
        "info",    "time",     "lolwut",    "wait",  "config", "command", "slowlog", "latency",
        "cluster", "readonly", "readwrite", "synod", "memory", "save",    "bgsave"};

    return is_one_of(name, names, ARRAY_COUNT(names));
}

struct sim_command_keys sim_command_keys(const struct sim_command *c, uint32_t words)
{
    struct sim_command_keys keys = {(uint32_t)c->first, (uint32_t)c->step, 0};
    uint32_t last;

    if (c->first == 0 || words <= keys.first) {
        return keys;
    }
    last = c->last < 0 ? words - 1 : (uint32_t)c->last;
    last = last >= words ? words - 1 : last;
    keys.count = (last - keys.first) / keys.step + 1;
    return keys;
}

enum sim_error sim_error_of(struct slice text)
{
    static const char *const refused[] = {"CLUSTERDOWN", "TRYAGAIN",  "MOVED",   "ASK",
                                          "LOADING",     "READONLY",  "MISCONF", "OOM",
                                          "NOSPACE",     "CROSSSLOT", "NOAUTH",  "NOPERM"};
    static const char *const doubt[] = {"INDOUBT"};
    static const char *const answers[] = {"ERR", "WRONGTYPE"};
    static const char *const not_run[] = {"ERR max number of clients", "ERR wrong number of arg",
                                          "ERR syntax error", "ERR unknown ", "ERR Protocol error"};
    struct slice word = text;

    for (size_t i = 0; i < ARRAY_COUNT(not_run); i++) {
        if (text.len >= strlen(not_run[i]) &&
            memcmp(text.data, not_run[i], strlen(not_run[i])) == 0) {
            return SIM_ERROR_REFUSED;
        }
    }
    for (word.len = 0; word.len < text.len && text.data[word.len] != ' ';) {
        word.len++;
    }
    if (is_one_of(word, refused, ARRAY_COUNT(refused))) {
        return SIM_ERROR_REFUSED;
    }
    if (is_one_of(word, doubt, ARRAY_COUNT(doubt))) {
        return SIM_ERROR_DOUBT;
    }
    return is_one_of(word, answers, ARRAY_COUNT(answers)) ? SIM_ERROR_ANSWER : SIM_ERROR_STRANGE;
}
