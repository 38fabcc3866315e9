/* CONFIG: one row per setting. Those of this node; cluster-wide ones come with the
 * decided map. Some of Redis's names are answered because clients ask for them. */
#include "node/node_internal.h"

#include <stdio.h>

enum setting_kind { SETTING_U64, SETTING_U32, SETTING_BYTES, SETTING_BOOL, SETTING_TEXT };
struct setting {
    const char *name;
    enum setting_kind kind;
    bool writable;
    size_t offset;     /* into struct node */
    const char *text;  /* SETTING_TEXT: fixed */
    uint64_t scale;    /* stored = shown * scale */
    uint64_t min, max; /* of what is shown */
};

#define AT(field) offsetof(struct node, field)
static const struct setting settings[] = {
    {"appendfsync", SETTING_TEXT, false, 0, "always", 1, 0, 0},
    {"appendonly", SETTING_TEXT, false, 0, "yes", 1, 0, 0},
    {"bind", SETTING_TEXT, false, 0, "", 1, 0, 0},
    {"checkpoint-log-bytes", SETTING_BYTES, true, AT(cfg.checkpoint_log_bytes), NULL, 1, 1 << 20,
     1ULL << 40},
    {"client-output-hard-bytes", SETTING_BYTES, true, AT(cfg.output_hard_bytes), NULL, 1, 1 << 16,
     1ULL << 40},
    {"client-output-soft-bytes", SETTING_BYTES, true, AT(cfg.output_soft_bytes), NULL, 1, 1 << 10,
     1ULL << 40},
    {"cluster-enabled", SETTING_TEXT, false, 0, "yes", 1, 0, 0},
    {"databases", SETTING_TEXT, false, 0, "1", 1, 0, 0},
    {"dead-member-replace-ms", SETTING_U64, true, AT(cfg.dead_member_replace_us), NULL, 1000, 0,
     1000000000},
    {"digest-interval-ms", SETTING_U64, true, AT(cfg.digest_us), NULL, 1000, 10, 3600000},
    {"election-timeout-max-ms", SETTING_U64, false, AT(cfg.election_us_max), NULL, 1000, 1, 600000},
    {"election-timeout-min-ms", SETTING_U64, false, AT(cfg.election_us_min), NULL, 1000, 1, 600000},
    {"entry-max-bytes", SETTING_BYTES, false, AT(cfg.entry_bytes_max), NULL, 1, 0, UINT64_MAX},
    {"gossip-interval-ms", SETTING_U64, true, AT(cfg.gossip_probe_us), NULL, 1000, 100, 60000},
    {"gossip-suspicion", SETTING_U32, true, AT(cfg.gossip_suspicion), NULL, 1, 1, 100},
    {"heartbeat-ms", SETTING_U64, false, AT(cfg.heartbeat_us), NULL, 1000, 1, 600000},
    {"latency-monitor-threshold", SETTING_U64, true, AT(latency_threshold_ms), NULL, 1, 0,
     UINT64_MAX},
    {"lease-reads", SETTING_BOOL, false, AT(cfg.lease_reads), NULL, 1, 0, 1},
    {"log-memory-bytes", SETTING_BYTES, true, AT(cfg.log_memory_bytes), NULL, 1, 1 << 12,
     1ULL << 32},
    {"maxclients", SETTING_U32, true, AT(cfg.maxclients), NULL, 1, 1, 1000000},
    {"maxmemory", SETTING_TEXT, false, 0, "0", 1, 0, 0},
    {"maxmemory-policy", SETTING_TEXT, false, 0, "noeviction", 1, 0, 0},
    {"movement-bytes-per-second", SETTING_BYTES, true, AT(cfg.movement_bytes_per_s), NULL, 1,
     1 << 20, 1ULL << 40},
    {"movements-max", SETTING_U32, true, AT(cfg.movements_max), NULL, 1, 1, 16384},
    {"proto-max-bulk-len", SETTING_U32, true, AT(proto_max_bulk), NULL, 1, 1 << 20, 512U << 20},
    {"request-timeout-ms", SETTING_U64, true, AT(cfg.request_timeout_us), NULL, 1000, 10, 600000},
    {"save", SETTING_TEXT, false, 0, "", 1, 0, 0},
    {"scrub-bytes-per-second", SETTING_BYTES, true, AT(cfg.scrub_bytes_per_s), NULL, 1, 0,
     1ULL << 40},
    {"scrub-rest-ms", SETTING_U64, true, AT(cfg.scrub_rest_us), NULL, 1000, 1, 1000000000},
    {"slowlog-log-slower-than", SETTING_U64, true, AT(cfg.slowlog_us), NULL, 1, 0, UINT64_MAX},
    {"slowlog-max-len", SETTING_U32, true, AT(slowlog_max), NULL, 1, 0, SLOWLOG_MAX},
    {"timeout", SETTING_TEXT, false, 0, "0", 1, 0, 0},
};

static uint64_t setting_value(const struct node *n, const struct setting *s)
{
    const char *at = (const char *)n + s->offset;
    uint64_t wide;
    uint32_t narrow;

    switch (s->kind) {
    case SETTING_U64:
    case SETTING_BYTES:
        memcpy(&wide, at, sizeof wide);
        return wide == UINT64_MAX ? wide : wide / s->scale;
    case SETTING_U32:
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    case SETTING_BOOL:
        return *(const bool *)at ? 1 : 0;
    case SETTING_TEXT:
        return 0;
    }
    UNREACHABLE("setting kind");
}

static void setting_print(const struct node *n, const struct setting *s, char *out, size_t bytes)
{
    uint64_t value = setting_value(n, s);

    if (strcmp(s->name, "bind") == 0) {
        (void)snprintf(out, bytes, "%s", n->cfg.client_addr);
    } else if (s->kind == SETTING_TEXT) {
        (void)snprintf(out, bytes, "%s", s->text);
    } else if (s->kind == SETTING_BOOL) {
        (void)snprintf(out, bytes, "%s", value ? "yes" : "no");
    } else if (value == UINT64_MAX) {
        (void)snprintf(out, bytes, "-1");
    } else {
        (void)snprintf(out, bytes, "%llu", (unsigned long long)value);
    }
}

static void config_get(struct node *n, uint32_t argc, const struct slice *argv,
                       struct resp_writer *w)
{
    bool hit[ARRAY_COUNT(settings)] = {false};
    size_t count = 0;
    char value[128];

    for (size_t k = 0; k < ARRAY_COUNT(settings); k++) {
        for (uint32_t i = 2; i < argc && !hit[k]; i++) {
            hit[k] = cmd_glob(argv[i], slice_str(settings[k].name), true);
        }
        count += hit[k] ? 1 : 0;
    }
    resp_put_map(w, count);
    for (size_t k = 0; k < ARRAY_COUNT(settings); k++) {
        if (hit[k]) {
            setting_print(n, &settings[k], value, sizeof value);
            resp_put_bulk_str(w, settings[k].name);
            resp_put_bulk_str(w, value);
        }
    }
}

/* "100mb" and the like, as redis.conf reads them. */
static bool parse_bytes(struct slice text, uint64_t *value)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"k", 1000},       {"kb", 1024},    {"m", 1000000}, {"mb", 1 << 20},
                 {"g", 1000000000}, {"gb", 1 << 30}, {"b", 1},       {"", 1}};
    size_t digits = 0;
    int64_t number;

    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    if (!cmd_parse_int((struct slice){text.data, digits}, &number)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (slice_eq_nocase((struct slice){text.data + digits, text.len - digits},
                            slice_str(units[i].unit))) {
            *value = (uint64_t)number * units[i].bytes;
            return true;
        }
    }
    return false;
}

static const struct setting *setting_find(struct slice name)
{
    for (size_t k = 0; k < ARRAY_COUNT(settings); k++) {
        if (slice_eq_nocase(name, slice_str(settings[k].name))) {
            return &settings[k];
        }
    }
    return NULL;
}

static bool setting_parse(const struct setting *s, struct slice text, uint64_t *value)
{
    int64_t number;

    if (s->kind == SETTING_BYTES || strcmp(s->name, "proto-max-bulk-len") == 0) {
        return parse_bytes(text, value) && *value >= s->min && *value <= s->max;
    }
    if (!cmd_parse_int(text, &number)) {
        return false;
    }
    if (number < 0) {
        /* -1 switches the slow log off, as in Redis */
        *value = UINT64_MAX;
        return s->max == UINT64_MAX;
    }
    *value = (uint64_t)number;
    return *value >= s->min && *value <= s->max;
}

static void setting_store(struct node *n, const struct setting *s, uint64_t value)
{
    char *at = (char *)n + s->offset;
    uint64_t wide = value == UINT64_MAX ? value : value * s->scale;
    uint32_t narrow = (uint32_t)value;

    if (s->kind == SETTING_U32) {
        memcpy(at, &narrow, sizeof narrow);
    } else {
        memcpy(at, &wide, sizeof wide);
    }
}

/* All or nothing: every pair is judged before the first is stored. */
static void config_set(struct node *n, uint32_t argc, const struct slice *argv,
                       struct resp_writer *w)
{
    if (argc % 2 != 0) {
        cmd_reject_arity(w, cmd_by_id(CMD_ID_CONFIG_SET));
        return;
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 2; i + 1 < argc; i += 2) {
            const struct setting *s = setting_find(argv[i]);
            int name_len = argv[i].len < 64 ? (int)argv[i].len : 64;
            uint64_t value = 0;

            if (s == NULL) {
                resp_put_errorf(w,
                                "ERR Unknown option or number of arguments for CONFIG SET - "
                                "'%.*s'",
                                name_len, (const char *)argv[i].data);
                return;
            }
            if (!s->writable) {
                resp_put_errorf(w,
                                "ERR CONFIG SET failed (possibly related to argument '%.*s') - "
                                "can't set immutable config",
                                name_len, (const char *)argv[i].data);
                return;
            }
            if (!setting_parse(s, argv[i + 1], &value)) {
                resp_put_errorf(w,
                                "ERR CONFIG SET failed (possibly related to argument '%.*s') - "
                                "argument must be between %llu and %llu inclusive",
                                name_len, (const char *)argv[i].data, (unsigned long long)s->min,
                                (unsigned long long)s->max);
                return;
            }
            if (pass == 1) {
                setting_store(n, s, value);
            }
        }
    }
    node_gossip_paced(n);
    resp_put_simple(w, "OK");
}

static void reset_stats(struct node *n)
{
    struct stats kept = {.ops_mark_us = n->now.mono_us};

    n->stats = kept;
    memset(n->cmd_stats, 0, cmd_count() * sizeof n->cmd_stats[0]);
    n->gauges.connections_rejected = 0;
}

void node_cmd_config(struct session *s, const struct cmd *cmd, uint32_t argc,
                     const struct slice *argv, struct resp_writer *w)
{
    if (cmd->id == CMD_ID_CONFIG_GET) {
        config_get(s->node, argc, argv, w);
    } else if (cmd->id == CMD_ID_CONFIG_SET) {
        config_set(s->node, argc, argv, w);
    } else if (cmd->id == CMD_ID_CONFIG_RESETSTAT) {
        reset_stats(s->node);
        resp_put_simple(w, "OK");
    } else if (cmd->id == CMD_ID_CONFIG_REWRITE) {
        resp_put_error(w, "ERR The server is running without a config file");
    }
}
