/* What each replica was heard to have written, so that one which forgot is told.
 *
 * A log whose newest write was damaged looks like one whose newest write was torn; a
 * directory restored from an old image looks like any other. Neither can be told
 * by the node itself. Its peers can: whatever a replica says rests on records of
 * its log, records are counted for ever, and a node says at the start of each
 * connection how many it had when its process started. If that is less than was
 * once heard of an earlier run, something said before is forgotten, a vote perhaps.
 * (How many it has by now says nothing: a replica that met nobody for a while writes
 * records of its own, a checkpoint for one.) Such a replica is not listened to any more,
 * and starts anew under the next generation of its id. [docs/protocol/storage.md]
 */
#include "node/node_internal.h"

#include <stdio.h>

enum {
    SAY_US = 20 * 1000,        /* changes are told this often */
    SAVE_US = 2 * 1000 * 1000, /* what was heard goes to the log with a write of the group */
    OPENING = 1,               /* flag of the frame: all that the node has, as it starts */
};

/* ---- speaking ---- */

static struct wire_records counted(const struct group *g, uint64_t records)
{
    return (struct wire_records){.group = g->partition, .replica = g->self, .records = records};
}

/* A name that a crash could still take back is told to nobody: the next one may be smaller, and
 * would be taken for one that was given up (a run of the simulator in which replicas move). */
static bool name_is_known(const struct group *g)
{
    return wal_durable(g->node->wal) >= g->name_ticket;
}

static void say(struct node *n, struct link *l, uint8_t flags, uint64_t since)
{
    size_t mark = wire_begin(&l->now, WIRE_RECORDS);

    put_u8(&l->now, flags);
    if (flags == OPENING) {
        put_u64le(&l->now, n->run);
    }
    for (uint32_t p = 0; p < n->map.partitions && n->groups != NULL; p++) {
        const struct group *g = &n->groups[p];

        if (g->here && name_is_known(g) && (flags == OPENING || g->records_news > since)) {
            struct wire_records s = counted(g, g->records);

            if (flags == OPENING) {
                s.starts = g->starts;
            }
            wire_put_records(&l->now, &s);
        }
    }
    wire_end(&l->now, mark);
    l->records_news = n->records_news;
}

void node_past_open(struct node *n, struct link *l)
{
    say(n, l, OPENING, 0);
}

/* What is said to l behind the gate rests on so many records: told with it, so that whoever hears
 * a vote or an acknowledgement knows what it rests on. */
void node_past_gated(struct group *g, struct link *l, uint64_t gate)
{
    struct wire_records s;

    if (l->records.len == 0) {
        l->records_mark = wire_begin(&l->records, WIRE_RECORDS);
        put_u8(&l->records, 0);
    }
    s = counted(g, wal_records(g->node->wal, g->partition, gate));
    wire_put_records(&l->records, &s);
}

void node_past_durable(struct group *g)
{
    uint64_t records = wal_records(g->node->wal, g->partition, wal_durable(g->node->wal));

    if (records != g->records) {
        g->records = records;
        g->records_news = ++g->node->records_news;
    }
}

void node_past_tick(struct node *n)
{
    if (n->now.mono_us < n->records_us || n->groups == NULL) {
        return;
    }
    n->records_us = n->now.mono_us + SAY_US;
    for (uint32_t i = 0; i < n->link_count; i++) {
        struct link *l = &n->links[i];

        if (l->state == LINK_UP && l->records_news < n->records_news) {
            say(n, l, 0, l->records_news);
        }
    }
}

/* ---- hearing ---- */

static struct heard *heard_of(struct group *g, struct raft_id replica)
{
    for (uint8_t i = 0; i < g->heard_count; i++) {
        if (node_of_raft_id(g->heard[i].replica) == node_of_raft_id(replica)) {
            return &g->heard[i];
        }
    }
    return NULL;
}

/* A place for a node not heard of before: that of one which takes part no more, if need be. */
static struct heard *heard_new(struct group *g)
{
    for (uint8_t i = 0; i < g->heard_count; i++) {
        if (node_member_of(g->node, g->heard[i].replica) < 0) {
            return &g->heard[i];
        }
    }
    if (g->heard_count < ARRAY_COUNT(g->heard)) {
        return &g->heard[g->heard_count++];
    }
    for (uint8_t i = 0; i < g->heard_count; i++) {
        if (node_move_superfluous(g, g->heard[i].replica) &&
            !(g->here && raft_conf_has(node_group_conf(g), g->heard[i].replica))) {
            return &g->heard[i]; /* it was here once, and comes back under a new name if ever */
        }
    }
    return NULL;
}

/* The run that wrote the last of the records: the newest that began with fewer. One that wrote
 * nothing must not stand for them: its start need not be in the log. */
static uint64_t writer(const struct wire_records *s, uint64_t run)
{
    for (uint8_t i = s->starts.count; i-- > 0;) {
        if (s->starts.at[i].records < s->records) {
            return s->starts.at[i].run;
        }
    }
    return s->starts.count > 0 ? s->starts.at[0].run : run;
}

static void remember(struct group *g, const struct wire_records *s, uint64_t run)
{
    struct heard *h = heard_of(g, s->replica);

    if (h == NULL) {
        h = heard_new(g);
        if (h == NULL) {
            return;
        }
        *h = (struct heard){.replica = s->replica};
    }
    if (s->replica.n > h->replica.n) {
        *h = (struct heard){.replica = s->replica};
    }
    if (s->replica.n == h->replica.n && s->records > h->records) {
        h->records = s->records;
        h->run = writer(s, run);
        g->heard_news = true;
    }
}

/* How many records the replica still had after the run in which it was heard of. */
static uint64_t kept(const struct heard *h, const struct wire_records *s, uint64_t run)
{
    const struct wire_starts *starts = &s->starts;

    if (h->run == 0 || h->run == run || starts->count == 0) {
        return s->records;
    }
    for (uint8_t i = 0; i + 1 < starts->count; i++) {
        if (starts->at[i].run == h->run) {
            return starts->at[i + 1].records;
        }
    }
    return starts->at[starts->count - 1].records;
}

/* It came back with less than it had, or with a name that it had given up. */
static bool contradicts(const struct heard *h, const struct wire_records *s, uint64_t run)
{
    return s->replica.n < h->replica.n ||
           (s->replica.n == h->replica.n && (h->forgot || kept(h, s, run) < h->records));
}

static void tell(struct link *l, const struct group *g, const struct heard *h)
{
    size_t mark = wire_begin(&l->now, WIRE_FORGOT);

    wire_put_records(&l->now, &(struct wire_records){.group = g->partition,
                                                     .replica = h->replica,
                                                     .records = h->records});
    wire_end(&l->now, mark);
}

static void hear(struct group *g, struct link *l, const struct wire_records *s, bool opening)
{
    struct heard *h = heard_of(g, s->replica);
    struct node *n = g->node;

    if (!opening && h != NULL && h->forgot && s->replica.n == h->replica.n) {
        return; /* what it writes since makes up for nothing, and must not hide it */
    }
    if (!opening || h == NULL || !contradicts(h, s, l->run)) {
        remember(g, s, l->run);
        return;
    }
    SOMETIMES(true, "node_past: a replica has forgotten");
    node_log(
        n, NODE_LOG_ERROR,
        "msg=\"a replica has less than it had: its newest writes are lost, or its directory is "
        "an old image; it is not listened to until it is rebuilt\" peer=%s partition=%u "
        "records=%llu records_before=%llu",
        l->addr, g->partition, (unsigned long long)kept(h, s, l->run),
        (unsigned long long)h->records);
    g->heard_news = g->heard_news || !h->forgot;
    h->forgot = true;
    if (g->here) {
        raft_peer_forgot(g->raft, h->replica);
        node_group_mark(g);
    }
    tell(l, g, h);
}

bool node_past_void(struct group *g, struct raft_id from)
{
    const struct heard *h = heard_of(g, from);

    return h != NULL && (from.n < h->replica.n || (from.n == h->replica.n && h->forgot));
}

void node_past_frame(struct node *n, struct link *l, struct slice payload)
{
    struct reader r = reader_of(payload.data, payload.len);
    bool opening = (get_u8(&r) & OPENING) != 0;
    struct wire_records s;

    if (opening) {
        l->run = get_u64le(&r);
    }
    if (r.bad) {
        node_link_garbled(n, l, "a count of records that cannot be read");
        return;
    }
    while (reader_left(&r) > 0) {
        if (wire_get_records(&r, &s) != ERR_OK) {
            node_link_garbled(n, l, "a count of records that cannot be read");
            return;
        }
        if (n->groups != NULL && s.group < n->map.partitions &&
            node_of_raft_id(s.replica) == node_short_id(&l->node)) {
            hear(&n->groups[s.group], l, &s, opening);
        }
    }
}

/* ---- being told ---- */

static void start_anew(struct group *g, struct raft_id was)
{
    struct node *n = g->node;
    struct raft_id self = node_next_generation(n, was);
    struct diag why;

    if (self.n == 0) {
        diag_set(&why,
                 "partition %u has forgotten what it said and was rebuilt too often under this "
                 "node's identity; empty the data directory and bring the node back with --join",
                 g->partition);
        node_fail(n, ERR_STALE, &why);
        return;
    }
    n->troubles.replicas_lost++;
    node_snap_sends_drop(g, 0, true);
    node_snap_recv_abort(g);
    node_group_restart_as(g, self, was);
    while (!list_empty(&g->reading)) {
        node_request_not_leader(n, LIST_ENTRY(g->reading.next, struct request, in_group));
    }
}

void node_past_forgot(struct node *n, struct link *l, struct slice payload)
{
    struct reader r = reader_of(payload.data, payload.len);
    struct wire_records s;

    while (reader_left(&r) > 0) {
        struct group *g;

        if (wire_get_records(&r, &s) != ERR_OK) {
            node_link_garbled(n, l, "a count of records that cannot be read");
            return;
        }
        if (n->groups == NULL || s.group >= n->map.partitions || !n->groups[s.group].here ||
            node_of_raft_id(s.replica) != node_short_id(&n->id)) {
            continue;
        }
        g = &n->groups[s.group];
        if (s.replica.n < g->self.n) {
            SOMETIMES(true, "node_past: told twice of what was forgotten");
            continue; /* another peer said so before: this is a new one already */
        }
        SOMETIMES(true, "node_past: this replica was told that it has forgotten");
        node_log(n, NODE_LOG_ERROR,
                 "msg=\"this replica has forgotten what others heard of it: its newest writes are "
                 "lost, or this directory is an old image; it is rebuilt from its peers and does "
                 "not vote meanwhile\" partition=%u peer=%s records=%llu records_before=%llu",
                 g->partition, l->addr, (unsigned long long)g->records,
                 (unsigned long long)s.records);
        start_anew(g, s.replica);
        node_chain_forgot(n); /* its other files are as old */
    }
}

/* ---- remembering over restarts ---- */

void node_past_save(struct group *g)
{
    uint64_t now = g->node->now.mono_us;

    if (g->heard_news && now >= g->heard_save_us) {
        g->heard_save_us = now + SAVE_US;
        g->heard_news = false;
        node_group_put_blob(g, &g->snap_conf);
    }
}

void node_past_boot(struct group *g, const struct group_blob *blob)
{
    memcpy(g->heard, blob->heard, sizeof g->heard);
    g->heard_count = blob->heard_count;
    g->starts = blob->starts;
    node_past_begin(g);
    /* With the first record of this run goes its start: without it a peer that heard of that record
     * could not tell, two starts later, what became of it [models/past.pml, start-unsaved]. */
    g->heard_news = true;
}

void node_past_begin(struct group *g)
{
    uint64_t run = g->node->run;
    struct wire_starts *s = &g->starts;

    node_past_durable(g);
    if (s->count > 0 && s->at[s->count - 1].run == run) {
        return; /* a replica made anew: records are counted over that */
    }
    if (s->count == ARRAY_COUNT(s->at)) {
        s->count--;
        memmove(&s->at[0], &s->at[1], s->count * sizeof s->at[0]);
    }
    s->at[s->count++] = (struct wire_start){.run = run, .records = g->records};
}

void node_past_encode(const struct group *g, struct buf *out)
{
    put_varint(out, g->heard_count);
    for (uint8_t i = 0; i < g->heard_count; i++) {
        put_u64le(out, g->heard[i].replica.n);
        put_varint(out, g->heard[i].records);
        put_u64le(out, g->heard[i].run);
        put_u8(out, g->heard[i].forgot);
    }
    wire_put_starts(out, &g->starts);
}

enum err node_past_decode(struct reader *r, struct group_blob *out)
{
    uint64_t heard = get_varint(r);

    if (r->bad || heard > RAFT_PEERS_MAX) {
        return ERR_CORRUPT;
    }
    out->heard_count = (uint8_t)heard;
    for (uint8_t i = 0; i < out->heard_count; i++) {
        out->heard[i].replica.n = get_u64le(r);
        out->heard[i].records = get_varint(r);
        out->heard[i].run = get_u64le(r);
        out->heard[i].forgot = get_u8(r) != 0;
    }
    return wire_get_starts(r, &out->starts) == ERR_OK ? ERR_OK : ERR_CORRUPT;
}
