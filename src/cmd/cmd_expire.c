/* cmd_expire.c - when keys go: EXPIRE and its kin, TTL and its kin. */
#include "cmd/cmd_find.h"
#include "cmd/cmd_handlers.h"

enum { CMD_EXPIRE_NX = 1, CMD_EXPIRE_XX = 2, CMD_EXPIRE_GT = 4, CMD_EXPIRE_LT = 8 };

static bool cmd_expire_options(struct call *c, unsigned *options)
{
    static const struct {
        struct slice word;
        unsigned option;
    } words[] = {
        {{(const uint8_t *)"nx", 2}, CMD_EXPIRE_NX},
        {{(const uint8_t *)"xx", 2}, CMD_EXPIRE_XX},
        {{(const uint8_t *)"gt", 2}, CMD_EXPIRE_GT},
        {{(const uint8_t *)"lt", 2}, CMD_EXPIRE_LT},
    };

    *options = 0;
    for (uint32_t i = 3; i < c->argc; i++) {
        unsigned found = 0;

        for (size_t w = 0; w < ARRAY_COUNT(words); w++) {
            found |= cmd_arg_is(c, i, words[w].word) ? words[w].option : 0;
        }
        if (found == 0) {
            resp_put_errorf(&c->out, "ERR Unsupported option %.*s",
                            (int)(c->argv[i].len < 1024 ? c->argv[i].len : 1024),
                            (const char *)c->argv[i].data);
            return false;
        }
        *options |= found;
    }
    if ((*options & CMD_EXPIRE_NX) != 0 && *options != CMD_EXPIRE_NX) {
        resp_put_error(&c->out,
                       "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*options & CMD_EXPIRE_GT) != 0 && (*options & CMD_EXPIRE_LT) != 0) {
        resp_put_error(&c->out, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* argv[2] in `unit_ms`, counted from base_ms, as milliseconds since 1970; may lie in
 * the past, or before 1970. */
static bool cmd_expire_time(struct call *c, int64_t unit_ms, int64_t base_ms, int64_t *when_ms)
{
    int64_t when;

    if (!cmd_arg_int(c, 2, &when)) {
        return false;
    }
    if (__builtin_mul_overflow(when, unit_ms, &when) ||
        __builtin_add_overflow(when, base_ms, &when)) {
        resp_put_errorf(&c->out, "ERR invalid expire time in '%s' command", c->cmd->name);
        return false;
    }
    *when_ms = when;
    return true;
}

/* May an expiry of now_expire_ms (0: never) become when_ms? Never counts as the
 * furthest time of all. Pure. */
static bool cmd_expire_allowed(unsigned options, uint64_t now_expire_ms, int64_t when_ms)
{
    int64_t now_expire = (int64_t)now_expire_ms;

    if ((options & CMD_EXPIRE_NX) != 0 && now_expire != 0) {
        return false;
    }
    if ((options & CMD_EXPIRE_XX) != 0 && now_expire == 0) {
        return false;
    }
    if ((options & CMD_EXPIRE_GT) != 0 && (now_expire == 0 || when_ms <= now_expire)) {
        return false;
    }
    if ((options & CMD_EXPIRE_LT) != 0 && now_expire != 0 && when_ms >= now_expire) {
        return false;
    }
    return true;
}

static void cmd_expire_generic(struct call *c, int64_t unit_ms, int64_t base_ms)
{
    struct slice key = c->argv[1];
    const struct store_item *it;
    unsigned options;
    int64_t when_ms;

    if (!cmd_expire_options(c, &options) || !cmd_expire_time(c, unit_ms, base_ms, &when_ms)) {
        return;
    }
    it = store_find_write(c->store, key, c->now_ms);
    if (it == NULL || !cmd_expire_allowed(options, store_item_expire_ms(it), when_ms)) {
        resp_put_int(&c->out, 0);
        return;
    }
    if (when_ms <= (int64_t)c->now_ms) { /* a time that has come deletes at once */
        bool there = store_del(c->store, key);

        CHECK(there);
    } else {
        store_set_expire(c->store, key, (uint64_t)when_ms);
    }
    c->changed = true;
    resp_put_int(&c->out, 1);
}

void cmd_expire(struct call *c)
{
    cmd_expire_generic(c, 1000, (int64_t)c->now_ms);
}

void cmd_pexpire(struct call *c)
{
    cmd_expire_generic(c, 1, (int64_t)c->now_ms);
}

void cmd_expireat(struct call *c)
{
    cmd_expire_generic(c, 1000, 0);
}

void cmd_pexpireat(struct call *c)
{
    cmd_expire_generic(c, 1, 0);
}

void cmd_persist(struct call *c)
{
    const struct store_item *it = store_find_write(c->store, c->argv[1], c->now_ms);

    if (it == NULL || store_item_expire_ms(it) == 0) {
        resp_put_int(&c->out, 0);
        return;
    }
    store_set_expire(c->store, c->argv[1], 0);
    c->changed = true;
    resp_put_int(&c->out, 1);
}

/* The time left or the time itself; seconds are rounded to the nearest. */
static void cmd_ttl_generic(struct call *c, bool absolute, bool seconds)
{
    const struct store_item *it = store_find(c->store, c->argv[1], c->now_ms, 0);
    uint64_t ms;

    if (it == NULL || store_item_expire_ms(it) == 0) {
        resp_put_int(&c->out, it == NULL ? -2 : -1);
        return;
    }
    ms = store_item_expire_ms(it);
    if (!absolute) {
        ms = ms > c->now_ms ? ms - c->now_ms : 0;
    }
    resp_put_int(&c->out, (int64_t)(seconds ? (ms + 500) / 1000 : ms));
}

void cmd_ttl(struct call *c)
{
    cmd_ttl_generic(c, false, true);
}

void cmd_pttl(struct call *c)
{
    cmd_ttl_generic(c, false, false);
}

void cmd_expiretime(struct call *c)
{
    cmd_ttl_generic(c, true, true);
}

void cmd_pexpiretime(struct call *c)
{
    cmd_ttl_generic(c, true, false);
}

/* Logged by the leader when keys are due: argv[1] is how many at most. */
void cmd_expire_due(struct call *c)
{
    int64_t max;
    size_t removed;

    if (!cmd_arg_int(c, 1, &max)) {
        return;
    }
    removed = store_expire_due(c->store, c->now_ms, max > 0 ? (size_t)max : 0);
    for (uint32_t i = 2; i < c->argc; i++) {
        /* These must go now, however many are due before them. */
        (void)store_find_write(c->store, c->argv[i], c->now_ms);
    }
    c->changed = c->changed || removed > 0;
    resp_put_int(&c->out, (int64_t)removed);
}
