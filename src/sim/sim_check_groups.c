/* Keys that belong together, because a command names them together: each group is searched for
 * an order of its own. FLUSHALL is part of every group: each key goes at one moment. */
#include "base/base_hash.h"
#include "base/base_mem.h"
#include "sim/sim_check_follow.h"
#include "sim/sim_check_internal.h"
#include "sim/sim_check_linear.h"

#include <stdlib.h>

enum {
    SHOWN_BEFORE = 24,
    SHOWN_AFTER = 8,
    TWINS_MAX = 200,
    TWIN_STATES_MAX = 20000,
    SHARE_OF_LOG = 2
};

/* Keys by their blobs in the history; groups by union. */
struct keys {
    uint32_t *index;  /* by blob: 1 + number of the key */
    uint32_t *parent; /* by number */
    uint32_t *blob;
    uint32_t count;
};

/* One group being judged. */
struct group {
    struct check *c;
    struct judged **ops; /* in the order of the history */
    uint32_t count;
    uint32_t keys[SIM_KEYS_JOINED_MAX]; /* blobs of the history */
    uint32_t key_count;
    struct sim_model m;
    struct sim_call *calls;
    uint32_t call_count;
    uint32_t *words; /* of all calls */
    struct sim_item *items;
    bool inside; /* something looks at, or changes, a part of a value */
    bool timed;  /* something gives a deadline */
    struct sim_value_kind values;
    struct sim_follow_entry *logged; /* what a log has of these keys */
    uint32_t logged_count;
};

static uint32_t root_of(const struct keys *k, uint32_t key)
{
    while (k->parent[key] != key) {
        k->parent[key] = k->parent[k->parent[key]];
        key = k->parent[key];
    }
    return key;
}

static bool counts(const struct judged *j)
{
    return j->kind == JUDGED_KNOWN || j->kind == JUDGED_UNKNOWN;
}

static void join_keys(struct check *c, struct keys *k)
{
    k->index = mem_zalloc((c->h->blobs.count + 1) * sizeof k->index[0]);
    k->parent = mem_alloc((c->h->blobs.count + 1) * sizeof k->parent[0]);
    k->blob = mem_alloc((c->h->blobs.count + 1) * sizeof k->blob[0]);
    for (uint32_t i = 0; i < c->h->count; i++) {
        const struct judged *j = &c->ops[i];
        uint32_t first = 0;

        for (uint32_t at = 0; at < j->keys.count && counts(j); at++) {
            uint32_t blob = judged_key(c, j, at), key;

            if (k->index[blob] == 0) {
                k->parent[k->count] = k->count;
                k->blob[k->count] = blob;
                k->index[blob] = ++k->count;
            }
            key = root_of(k, k->index[blob] - 1);
            first = at == 0 ? key : first;
            if (key < first) { /* the least is the root */
                k->parent[first] = key;
                first = key;
            } else {
                k->parent[key] = first;
            }
        }
    }
}

/* --- from the history to the model --- */

static uint32_t take_blob(struct group *g, uint32_t blob)
{
    return blob == 0 ? 0 : sim_blob_borrow(&g->m.blobs, sim_blob_get(&g->c->h->blobs, blob));
}

static uint32_t key_number(const struct group *g, uint32_t blob)
{
    uint32_t i = 0;

    while (g->keys[i] != blob) {
        i++;
        CHECK(i < g->key_count);
    }
    return i;
}

/* Words of the history, as a number. */
static uint64_t sent_words(const struct check *c, const struct sim_command *cmd, uint32_t word,
                           uint32_t words)
{
    uint64_t h = hash64_mix(cmd->id, words);

    for (uint32_t i = 1; i < words; i++) {
        h = hash64_mix(h, c->h->words[word + i]);
    }
    return h;
}

static void take_call(struct group *g, const struct judged *j, uint32_t *word, uint32_t *item)
{
    struct sim_call *call = &g->calls[g->call_count++];

    *call = (struct sim_call){.id = j->op->id,
                              .conn = g->c->opt.any_order ? j->op->id : j->op->conn,
                              .call_us = j->op->call_us,
                              .return_us = j->op->return_us,
                              .known = j->kind == JUDGED_KNOWN,
                              .cmd = j->cmd,
                              .words = g->words + *word,
                              .items = g->items + *item,
                              .word_count = j->op->words,
                              .key_count = (uint8_t)j->keys.count,
                              .sent = sent_words(g->c, j->cmd, j->op->word, j->op->words)};
    if (!call->known) {
        call->return_us = j->latest_us;
    }
    for (uint32_t i = 0; i < j->op->words; i++) {
        g->words[(*word)++] = take_blob(g, g->c->h->words[j->op->word + i]);
    }
    for (uint32_t i = 0; i < j->op->items && call->known; i++) {
        struct sim_item one = g->c->h->items[j->op->item + i];

        one.blob = take_blob(g, one.blob);
        g->items[(*item)++] = one;
        call->item_count++;
    }
    for (uint32_t i = 0; i < j->keys.count; i++) {
        call->key[i] = (uint8_t)key_number(g, judged_key(g->c, j, i));
    }
    call->hi_ms = UINT64_MAX;
    if (g->timed) {
        check_wall(g->c, call->call_us, call->return_us, &call->lo_ms, &call->hi_ms);
    }
}

static bool gives_deadline(const struct judged *j)
{
    enum sim_command_id id = j->cmd->id;

    if ((id == SIM_SET || id == SIM_GETEX) && j->op->words > (id == SIM_SET ? 3U : 2U)) {
        return true;
    }
    return id == SIM_SETEX || id == SIM_PSETEX || (id >= SIM_EXPIRE && id <= SIM_PEXPIREAT);
}

static void take_calls(struct group *g)
{
    size_t words = 0, items = 0;
    uint32_t word = 0, item = 0;

    for (uint32_t i = 0; i < g->count; i++) {
        const struct judged *j = g->ops[i];

        words += j->op->words;
        items += j->op->items;
        g->inside = g->inside || (j->cmd->flags & SIM_COMMAND_INSIDE) != 0;
        g->timed = g->timed || gives_deadline(j);
    }
    g->calls = mem_alloc((g->count + 1) * sizeof g->calls[0]);
    g->words = mem_alloc((words + 1) * sizeof g->words[0]);
    g->items = mem_alloc((items + 1) * sizeof g->items[0]);
    g->m.keys = g->key_count;
    for (uint32_t i = 0; i < g->count; i++) {
        if (g->ops[i]->kind == JUDGED_KNOWN || (g->ops[i]->cmd->flags & SIM_COMMAND_WRITES) != 0) {
            take_call(g, g->ops[i], &word, &item);
        }
    }
}

/* --- what nobody saw is all the same --- */

static bool *blobs_read(const struct group *g)
{
    bool *seen = mem_zalloc(g->m.blobs.count + 1);

    for (uint32_t i = 0; i < g->call_count; i++) {
        for (uint32_t k = 0; k < g->calls[i].item_count; k++) {
            seen[g->calls[i].items[k].blob] = true;
        }
    }
    return seen;
}

/* Values written whole, and never read, differ in nothing: one stands for all. Without this,
 * n writes of unknown outcome make 2^n states. */
static void merge_values(struct group *g)
{
    bool *seen = blobs_read(g);
    uint32_t unread = sim_blob_put(&g->m.blobs, SLICE("(a value that nobody read)"));

    for (uint32_t i = 0; i < g->call_count; i++) {
        const struct sim_command *cmd = g->calls[i].cmd;

        for (uint32_t w = cmd->value; w > 0 && w < g->calls[i].word_count;
             w = cmd->value_step == 0 ? 0 : w + cmd->value_step) {
            if (!seen[g->calls[i].words[w]]) {
                g->calls[i].words[w] = unread;
            }
        }
    }
    mem_free(seen);
}

/* --- where tokens stand --- */

/* Values are lists of tokens, when every APPEND adds one that ends with the same byte and has
 * it nowhere else, no two the same, and nothing else builds values but of such. */
static bool is_token(struct slice text, uint8_t end)
{
    return text.len > 1 && memchr(text.data, end, text.len) == text.data + text.len - 1;
}

static bool keeps_tokens(enum sim_command_id id)
{
    return id == SIM_APPEND || id == SIM_STRLEN || id == SIM_GETRANGE || id == SIM_SUBSTR ||
           (sim_command_of(id)->flags & SIM_COMMAND_INSIDE) == 0;
}

static bool list_tokens(struct group *g, uint32_t *owner, bool *parts)
{
    int end = -1;

    *parts = false;
    for (uint32_t i = 0; i < g->call_count; i++) {
        const struct sim_call *call = &g->calls[i];
        enum sim_command_id id = call->cmd->id;
        struct slice word;

        *parts = *parts || id == SIM_GETRANGE || id == SIM_SUBSTR;
        if (!keeps_tokens(id) || call->cmd->value_step != 0) {
            return false;
        }
        if (id != SIM_APPEND && call->cmd->value == 0) {
            continue;
        }
        word = sim_blob_get(&g->m.blobs, call->words[id == SIM_APPEND ? 2 : call->cmd->value]);
        end = end < 0 && word.len > 0 ? word.data[word.len - 1] : end;
        if (!is_token(word, (uint8_t)end) || owner[sim_blob_find(&g->m.blobs, word)] != 0) {
            return false;
        }
        owner[sim_blob_find(&g->m.blobs, word)] = i + 1;
    }
    if (end >= 0) {
        g->values = (struct sim_value_kind){SIM_VALUES_LISTS, (uint8_t)end};
    }
    return end >= 0;
}

/* Note where each token stands in one text that was read. False: it stood elsewhere before. */
static bool note_places(struct group *g, struct slice text, const uint32_t *owner, uint8_t end)
{
    size_t began = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint32_t blob, call;

        if (text.data[i] != end) {
            continue;
        }
        blob = sim_blob_find(&g->m.blobs, (struct slice){text.data + began, i + 1 - began});
        call = blob == 0 ? 0 : owner[blob];
        if (call != 0 && g->calls[call - 1].cmd->id == SIM_APPEND) {
            uint64_t *place = &g->calls[call - 1].place;

            if (*place != 0 && *place != began + 1) {
                check_found(g->c, "the token of op %u was read at byte %lu and at byte %zu",
                            g->calls[call - 1].id, *place - 1, began);
                return false;
            }
            *place = began + 1;
        }
        began = i + 1;
    }
    return true;
}

static void blank_out(struct group *g, uint32_t *word)
{
    size_t len = sim_blob_get(&g->m.blobs, *word).len;
    struct buf blank = {0};

    if (len == 0) {
        return;
    }
    buf_reserve(&blank, len);
    memset(blank.data, '?', len);
    *word = sim_blob_put(&g->m.blobs, (struct slice){blank.data, len});
    buf_free(&blank);
}

/* A token stands for ever where it was appended, whatever else happens: so where it was read
 * is where its APPEND must have found the end. Those that nobody read differ in length alone. */
static bool place_tokens(struct group *g)
{
    uint32_t *owner = mem_zalloc((g->m.blobs.count + 1) * sizeof owner[0]);
    bool parts, fits = true;

    if (!list_tokens(g, owner, &parts)) {
        mem_free(owner);
        return true;
    }
    for (uint32_t i = 0; i < g->call_count && fits; i++) {
        for (uint32_t k = 0; k < g->calls[i].item_count && fits; k++) {
            const struct sim_item *item = &g->calls[i].items[k];
            struct slice text;

            if (item->kind == SIM_ITEM_BULK && g->calls[i].cmd->id != SIM_GETRANGE &&
                g->calls[i].cmd->id != SIM_SUBSTR) {
                text = sim_blob_get(&g->m.blobs, item->blob);
                fits = note_places(g, text, owner, text.len > 0 ? text.data[text.len - 1] : 0);
            }
        }
    }
    for (uint32_t i = 0; i < g->call_count && !parts; i++) {
        if (g->calls[i].cmd->id == SIM_APPEND && g->calls[i].place == 0) {
            blank_out(g, &g->calls[i].words[2]);
        }
    }
    mem_free(owner);
    return fits;
}

/* --- the verdict --- */

static void put_key_state(struct buf *b, const struct group *g, const struct sim_key_state *k)
{
    struct slice text;

    if (k->value == 0) {
        buf_printf(b, "nothing");
        return;
    }
    text = sim_blob_get(&g->m.blobs, k->value >> 1);
    if ((k->value & 1) != 0) {
        buf_printf(b, "a hash of %zu fields", text.len / 8);
    } else {
        buf_printf(b, "%zu bytes, %.*s%s", text.len, text.len < 60 ? (int)text.len : 60,
                   (const char *)text.data, text.len < 60 ? "" : "...");
    }
    if (k->hi_ms != 0) {
        buf_printf(b, " until %lu..%lu ms", k->lo_ms, k->hi_ms);
    }
}

static int by_time(const void *a, const void *b)
{
    const struct judged *x = *(const struct judged *const *)a;
    const struct judged *y = *(const struct judged *const *)b;

    if (x->op->call_us != y->op->call_us) {
        return x->op->call_us < y->op->call_us ? -1 : 1;
    }
    return x->op < y->op ? -1 : x->op > y->op;
}

static void show_group(struct group *g, uint32_t stuck_id)
{
    uint32_t stuck = 0;

    qsort(g->ops, g->count, sizeof(void *), by_time);
    while (stuck < g->count && g->ops[stuck]->op->id != stuck_id) {
        stuck++;
    }
    for (uint32_t i = 0; i < g->count; i++) {
        bool around = i + SHOWN_BEFORE >= stuck && i <= stuck + SHOWN_AFTER;

        if (around) {
            check_show(g->c, g->ops[i]->op, i == stuck ? "=> " : "");
        }
    }
}

/* False: a finding was made on the way. */
static bool prepare(struct group *g)
{
    take_calls(g);
    if (g->inside) {
        return place_tokens(g);
    }
    merge_values(g);
    g->values.kind = SIM_VALUES_WHOLE;
    return true;
}

static void unprepare(struct group *g)
{
    sim_model_free(&g->m);
    mem_free(g->calls);
    mem_free(g->words);
    mem_free(g->items);
    g->m = (struct sim_model){0};
    g->calls = NULL;
    g->words = NULL;
    g->items = NULL;
    g->call_count = 0;
    g->inside = g->timed = false;
    g->values = (struct sim_value_kind){0};
}

static enum sim_linear_verdict search_group(struct group *g, uint64_t states_max,
                                            struct sim_linear_report *report)
{
    struct sim_linear_input in = {g->calls, g->call_count, g->values, states_max};

    return sim_check_linear(&g->m, &in, report);
}

/* By what the log says, as far as it goes. True: there is an explanation. */
static bool explained_by_log(struct group *g, uint64_t *states)
{
    const struct sim_follow_input follow = {g->calls, g->call_count, g->logged, g->logged_count};
    struct sim_linear_report report = {0};
    struct sim_call *happened;
    uint32_t count;
    bool explained = sim_check_follow(&g->m, &follow);

    if (explained || g->logged_count == 0) {
        return explained;
    }
    happened = mem_alloc((g->call_count + 1) * sizeof happened[0]);
    count = sim_check_follow_happened(&follow, happened);
    if (count < g->call_count) {
        struct sim_linear_input in = {happened, count, g->values,
                                      g->c->opt.states_max / SHARE_OF_LOG};

        explained = sim_check_linear(&g->m, &in, &report) == SIM_LINEAR;
        *states += report.states;
    }
    mem_free(happened);
    return explained;
}

static bool names_group(const struct group *g, const struct judged *j)
{
    bool named = j->keys.count > 0;

    for (uint32_t i = 0; i < j->keys.count && named; i++) {
        named = false;
        for (uint32_t k = 0; k < g->key_count; k++) {
            named = named || g->keys[k] == judged_key(g->c, j, i);
        }
    }
    return named;
}

/* A command that was refused, but with which, had it happened, all would be well; or NULL. */
static const struct sim_op *refused_yet_done(struct group *g)
{
    const struct sim_op *culprit = NULL;
    uint32_t tries = 0;

    for (uint32_t i = 0; i < g->c->h->count && culprit == NULL && tries < TWINS_MAX; i++) {
        struct judged *j = &g->c->ops[i];
        struct sim_linear_report report;

        if (j->kind != JUDGED_REFUSED || j->cmd == NULL ||
            (j->cmd->flags & SIM_COMMAND_WRITES) == 0 || !names_group(g, j)) {
            continue;
        }
        tries++;
        unprepare(g);
        j->kind = JUDGED_UNKNOWN;
        g->ops[g->count++] = j;
        if (prepare(g) && search_group(g, TWIN_STATES_MAX, &report) == SIM_LINEAR) {
            culprit = j->op;
        }
        g->count--;
        j->kind = JUDGED_REFUSED;
    }
    return culprit;
}

static void say_not_linear(struct group *g, const struct sim_linear_report *report)
{
    struct slice key = sim_blob_get(&g->c->h->blobs, g->keys[0]);
    uint32_t stuck_id = report->stuck == NULL ? 0 : report->stuck->id;
    const struct sim_op *culprit;
    struct buf b = {0};

    for (uint32_t i = 0; i < g->key_count; i++) {
        struct slice name = sim_blob_get(&g->c->h->blobs, g->keys[i]);

        buf_printf(&b, "%s%.*s holds ", i == 0 ? "" : "; ", (int)name.len, (const char *)name.data);
        put_key_state(&b, g, &report->state.key[i]);
    }
    check_found(g->c,
                "key %.*s is not linearizable: %u of %u commands can be explained, op %u cannot; "
                "where the best explanation ends %.*s",
                (int)key.len, (const char *)key.data, report->placed_most, report->known, stuck_id,
                (int)b.len, (const char *)b.data);
    buf_free(&b);
    culprit = refused_yet_done(g);
    if (culprit != NULL) {
        buf_printf(&g->c->out->findings,
                   "  all could be explained if op %u had happened, which was refused:\n",
                   culprit->id);
        check_show(g->c, culprit, "!! ");
    }
    show_group(g, stuck_id);
}

static void judge_group(struct group *g)
{
    struct sim_linear_report report = {0};
    struct slice key = sim_blob_get(&g->c->h->blobs, g->keys[0]);
    struct sim_check_result *out = g->c->out;

    out->groups++;
    if (!check_count(g->c, g->ops, g->count) || !prepare(g)) {
        show_group(g, 0);
        return;
    }
    if (explained_by_log(g, &out->states)) {
        out->followed++;
        return;
    }
    switch (search_group(g, g->c->opt.states_max, &report)) {
    case SIM_LINEAR:
        break;
    case SIM_LINEAR_UNDECIDED:
        out->undecided++;
        check_note(g->c, "key %.*s: undecided after %lu states; %u of %u commands placed",
                   (int)key.len, (const char *)key.data, report.states, report.placed_most,
                   report.known);
        break;
    case SIM_NOT_LINEAR:
        say_not_linear(g, &report);
        break;
    }
    out->states += report.states;
    out->states_most = report.states > out->states_most ? report.states : out->states_most;
}

/* --- all groups --- */

/* What a log has, with the keys it belongs to. */
struct told {
    uint32_t root, log; /* root: UINT32_MAX: of every key */
    uint64_t index;
    struct sim_follow_entry entry;
};
/* Ops sorted into groups: list[start[root] ..] are those of the group of that key. */
struct sorted {
    uint32_t *start; /* by key, and one more */
    struct judged **list;
    struct told *told; /* by root, log and index */
    uint32_t told_count;
};

static bool in_group(const struct judged *j)
{
    return counts(j) && j->keys.count > 0;
}

static uint32_t root_of_op(const struct check *c, const struct keys *k, const struct judged *j)
{
    return root_of(k, k->index[judged_key(c, j, 0)] - 1);
}

static void sort_ops(const struct check *c, const struct keys *k, struct sorted *s)
{
    uint32_t *at;

    s->start = mem_zalloc((k->count + 2) * sizeof s->start[0]);
    s->list = mem_alloc((c->h->count + 1) * sizeof(void *));
    at = mem_zalloc((k->count + 1) * sizeof at[0]);
    for (uint32_t i = 0; i < c->h->count; i++) {
        if (in_group(&c->ops[i])) {
            s->start[root_of_op(c, k, &c->ops[i]) + 1]++;
        }
    }
    for (uint32_t i = 0; i < k->count; i++) {
        s->start[i + 1] += s->start[i];
        at[i] = s->start[i];
    }
    for (uint32_t i = 0; i < c->h->count; i++) {
        if (in_group(&c->ops[i])) {
            s->list[at[root_of_op(c, k, &c->ops[i])]++] = &c->ops[i];
        }
    }
    mem_free(at);
}

/* --- what the logs have --- */

static int by_root(const void *a, const void *b)
{
    const struct told *x = a, *y = b;

    if (x->root != y->root) {
        return x->root < y->root ? -1 : 1;
    }
    if (x->log != y->log) {
        return x->log < y->log ? -1 : 1;
    }
    return x->index < y->index ? -1 : x->index > y->index;
}

static int by_index(const void *a, const void *b)
{
    const struct sim_logged *x = *(const struct sim_logged *const *)a;
    const struct sim_logged *y = *(const struct sim_logged *const *)b;

    if (x->log != y->log) {
        return x->log < y->log ? -1 : 1;
    }
    if (x->index != y->index) {
        return x->index < y->index ? -1 : 1;
    }
    return x->term < y->term ? -1 : x->term > y->term;
}

/* Whose keys an entry names; false: nothing that is judged. */
static bool told_entry(const struct check *c, const struct keys *k, const struct sim_logged *l,
                       struct told *out)
{
    const uint32_t *words = &c->h->words[l->word];
    const struct sim_command *cmd =
        l->words == 0 ? NULL : sim_command_find(sim_blob_get(&c->h->blobs, words[0]));
    uint32_t key;

    if (cmd == NULL || l->words <= (uint32_t)cmd->first) {
        return false;
    }
    key = cmd->first == 0 ? 0 : k->index[words[cmd->first]];
    if (cmd->first != 0 && key == 0) {
        return false;
    }
    *out = (struct told){.root = key == 0 ? UINT32_MAX : root_of(k, key - 1),
                         .log = l->log,
                         .index = l->index,
                         .entry = {sent_words(c, cmd, l->word, l->words), l->at_us}};
    return true;
}

static void sort_told(const struct check *c, const struct keys *k, struct sorted *s)
{
    const struct sim_history *h = c->h;
    const struct sim_logged **at = mem_alloc((h->logged_count + 1) * sizeof at[0]);

    s->told = mem_alloc((h->logged_count + 1) * sizeof s->told[0]);
    for (uint32_t i = 0; i < h->logged_count; i++) {
        at[i] = &h->logged[i];
    }
    qsort(at, h->logged_count, sizeof at[0], by_index);
    for (uint32_t i = 0; i < h->logged_count; i++) {
        bool replaced = i + 1 < h->logged_count && at[i + 1]->log == at[i]->log &&
                        at[i + 1]->index == at[i]->index;

        if (!replaced && told_entry(c, k, at[i], &s->told[s->told_count])) {
            s->told_count++;
        }
    }
    mem_free(at);
    qsort(s->told, s->told_count, sizeof s->told[0], by_root);
}

/* The first told of a root and log, or behind it. */
static uint32_t first_told(const struct sorted *s, uint32_t root, uint32_t log)
{
    uint32_t from = 0, to = s->told_count;

    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        const struct told *t = &s->told[mid];

        if (t->root < root || (t->root == root && t->log < log)) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from;
}

static bool told_of(const struct sorted *s, uint32_t at, uint32_t root, uint32_t log)
{
    return at < s->told_count && s->told[at].root == root && s->told[at].log == log;
}

/* Of the one log of these keys: theirs, and what concerns all. */
static void gather_told(struct group *g, const struct sorted *s, uint32_t root)
{
    uint32_t at = first_told(s, root, 0), log, all;

    g->logged_count = 0;
    if (at == s->told_count || s->told[at].root != root) {
        return;
    }
    log = s->told[at].log;
    all = first_told(s, UINT32_MAX, log);
    for (;;) {
        bool own = told_of(s, at, root, log), common = told_of(s, all, UINT32_MAX, log);

        if (!own && !common) {
            return;
        }
        if (!common || (own && s->told[at].index < s->told[all].index)) {
            g->logged[g->logged_count++] = s->told[at++].entry;
        } else {
            g->logged[g->logged_count++] = s->told[all++].entry;
        }
    }
}

/* The group's own ops and those that concern every key, in the order of the history. */
static void gather(struct group *g, const struct sorted *s, uint32_t root,
                   struct judged *const *flushes, uint32_t flush_count)
{
    uint32_t at = s->start[root], end = s->start[root + 1], f = 0;

    while (at < end || f < flush_count) {
        if (f == flush_count || (at < end && s->list[at] < flushes[f])) {
            g->ops[g->count++] = s->list[at++];
        } else {
            g->ops[g->count++] = flushes[f++];
        }
    }
}

void check_groups(struct check *c)
{
    struct group g = {.c = c};
    struct keys keys = {0};
    struct sorted sorted = {0};
    struct judged **flushes;
    uint32_t flush_count = 0;
    uint32_t *members;

    join_keys(c, &keys);
    sort_ops(c, &keys, &sorted);
    sort_told(c, &keys, &sorted);
    g.logged = mem_alloc((sorted.told_count + 1) * sizeof g.logged[0]);
    g.ops = mem_alloc((c->h->count + 1) * sizeof(void *));
    flushes = mem_alloc((c->h->count + 1) * sizeof(void *));
    members = mem_zalloc((keys.count + 1) * sizeof members[0]);
    for (uint32_t i = 0; i < c->h->count; i++) {
        if (counts(&c->ops[i]) && judged_is_all(&c->ops[i]) &&
            (c->ops[i].cmd->flags & SIM_COMMAND_WRITES) != 0) {
            flushes[flush_count++] = &c->ops[i];
        }
    }
    for (uint32_t i = 0; i < keys.count; i++) {
        members[root_of(&keys, i)]++;
    }
    for (uint32_t i = 0; i < c->h->count; i++) {
        if (in_group(&c->ops[i]) && c->ops[i].keys.count > SIM_CALL_KEYS_MAX) {
            members[root_of_op(c, &keys, &c->ops[i])] = UINT32_MAX / 2;
        }
    }
    for (uint32_t root = 0; root < keys.count && !check_done(c); root++) {
        if (members[root] > SIM_KEYS_JOINED_MAX) {
            c->out->unjudged += sorted.start[root + 1] - sorted.start[root];
            check_note(c, "too many keys are named together to be judged: %.*s and others",
                       (int)sim_blob_get(&c->h->blobs, keys.blob[root]).len,
                       (const char *)sim_blob_get(&c->h->blobs, keys.blob[root]).data);
        } else if (members[root] > 0) {
            gather(&g, &sorted, root, flushes, flush_count);
            gather_told(&g, &sorted, root);
            for (uint32_t i = root; g.key_count < members[root]; i++) {
                if (root_of(&keys, i) == root) {
                    g.keys[g.key_count++] = keys.blob[i];
                }
            }
            judge_group(&g);
            unprepare(&g);
            g.key_count = g.count = 0;
        }
    }
    mem_free(members);
    mem_free(flushes);
    mem_free(g.ops);
    mem_free(sorted.start);
    mem_free(sorted.list);
    mem_free(sorted.told);
    mem_free(g.logged);
    mem_free(keys.index);
    mem_free(keys.parent);
    mem_free(keys.blob);
}
