/* paxos.c - life, dispatch of messages and time, views. */
#include "core/paxos/paxos_internal.h"

struct paxos_bytes *paxos_bytes_new(struct slice s)
{
    struct paxos_bytes *b = mem_alloc(sizeof *b + s.len);

    b->refs = 1;
    b->bytes = (struct slice){(const uint8_t *)(b + 1), s.len};
    if (s.len > 0) {
        memcpy(b + 1, s.data, s.len);
    }
    return b;
}

struct paxos_bytes *paxos_bytes_ref(struct paxos_bytes *b)
{
    if (b != NULL) {
        b->refs++;
    }
    return b;
}

void paxos_bytes_drop(struct paxos_bytes **b)
{
    if (*b != NULL) {
        CHECK((*b)->refs > 0);
        if (--(*b)->refs == 0) {
            mem_free(*b);
        }
    }
    *b = NULL;
}

void paxos_bytes_set(struct paxos_bytes **place, struct paxos_bytes *b)
{
    paxos_bytes_drop(place);
    *place = b;
}

struct paxos_msg *paxos_send(struct paxos *p, enum paxos_msg_kind kind, struct paxos_id to,
                             struct paxos_bytes *bytes)
{
    struct paxos_letter *l;

    CHECK(to.n != p->cfg.self.n);
    MEM_GROW(p->outbox, p->outbox_count, p->outbox_cap);
    l = &p->outbox[p->outbox_count++];
    *l = (struct paxos_letter){
        .msg = {.kind = kind, .from = p->cfg.self, .to = to, .instance = {p->decided.n + 1}},
        .bytes = paxos_bytes_ref(bytes),
    };
    if (bytes != NULL) {
        l->msg.value = bytes->bytes;
    }
    p->work = true;
    return &l->msg;
}

void paxos_outbox_clear(struct paxos *p)
{
    while (p->outbox_count > 0) {
        paxos_bytes_drop(&p->outbox[--p->outbox_count].bytes);
    }
}

/* --- life --- */

static bool recovered_whole(const struct paxos_config *cfg, const struct paxos_recovered *rec,
                            struct paxos_council *council)
{
    const struct paxos_hard *h = &rec->hard;

    *council = (struct paxos_council){0};
    if (rec->decided.n == 0) {
        return h->instance.n == 0 && paxos_none(h->promised) && paxos_none(h->accepted);
    }
    return cfg->council_of(rec->value, council) && paxos_council_valid(council) &&
           h->instance.n <= rec->decided.n + 1 && paxos_ballot_cmp(h->accepted, h->promised) <= 0 &&
           h->round <= PAXOS_ROUND_MAX && h->promised.round <= PAXOS_ROUND_MAX;
}

enum err paxos_create(const struct paxos_config *cfg, const struct paxos_recovered *rec,
                      uint64_t now_us, struct paxos **out)
{
    const struct paxos_hard *h = &rec->hard;
    struct paxos_council council;
    struct paxos *p;

    CHECK(cfg->self.n != 0);
    CHECK(cfg->backoff_us_min > 0 && cfg->backoff_us_max >= 2 * cfg->backoff_us_min);
    CHECK(cfg->retry_us > 0);
    *out = NULL;
    if (!recovered_whole(cfg, rec, &council)) {
        return ERR_CORRUPT;
    }
    p = MEM_NEW(struct paxos);
    p->cfg = *cfg;
    p->prng.state = cfg->seed;
    p->now_us = now_us;
    p->forgot = rec->forgot;
    p->council = council;
    p->decided = rec->decided;
    if (rec->decided.n > 0) {
        p->value = paxos_bytes_new(rec->value);
    }
    paxos_acceptor_reset(p);
    paxos_proposer_end(p);
    p->hard.round = PLANTED(PAXOS_ROUND_REUSED) ? 0 : h->round;
    if (rec->decided.n > 0 && h->instance.n == p->hard.instance.n) {
        p->hard.promised = h->promised;
        p->hard.accepted = h->accepted;
        if (!paxos_none(h->accepted)) {
            uint32_t self = paxos_place(&council, cfg->self);

            p->accepted_bytes = paxos_bytes_new(h->value);
            p->hard.value = p->accepted_bytes->bytes;
            if (self != PAXOS_NO_PLACE) {
                p->seen[self] = h->accepted;
            }
            if (cfg->finish_us != 0) {
                p->finish_due_us =
                    now_us + prng_between(&p->prng, cfg->finish_us, 2 * cfg->finish_us);
            }
        }
    }
    p->round_handed = p->round_durable = p->hard.round;
    p->round_seen = PLANTED(PAXOS_ROUND_REUSED) ? 0 : paxos_max(h->round, h->promised.round);
    *out = p;
    return ERR_OK;
}

void paxos_destroy(struct paxos *p)
{
    if (p == NULL) {
        return;
    }
    paxos_outbox_clear(p);
    paxos_proposer_end(p);
    paxos_bytes_drop(&p->value);
    paxos_bytes_drop(&p->accepted_bytes);
    while (p->lent_count > 0) {
        paxos_bytes_drop(&p->lent[--p->lent_count]);
    }
    mem_free(p->lent);
    mem_free(p->outbox);
    mem_free(p);
}

void paxos_forget(struct paxos *p)
{
    p->forgot = true;
    /* What it says from here on would rest on what it forgot; what it decided does not. */
    paxos_outbox_clear(p);
    if (p->prop.wanted != NULL) {
        p->over = true;
        p->over_instance.n = p->decided.n + 1;
        p->over_outcome = p->prop.offered ? PAXOS_UNKNOWN : PAXOS_LOST;
    }
    paxos_proposer_end(p);
    p->work = true;
}

/* --- messages --- */

static bool ballot_sane(struct paxos_ballot b)
{
    return b.round <= PAXOS_ROUND_MAX && (b.round == 0) == (b.node.n == 0);
}

/* Could a correct member have sent it? */
static bool msg_sane(const struct paxos *p, const struct paxos_msg *m)
{
    bool told = m->kind == PAXOS_DECIDED || m->kind == PAXOS_ASK;
    bool asks = m->kind == PAXOS_PREPARE || m->kind == PAXOS_ACCEPT;

    if (m->from.n == 0 || m->from.n == p->cfg.self.n || m->kind >= PAXOS_MSG_KINDS ||
        m->instance.n > PAXOS_INSTANCE_MAX || m->value.len > p->cfg.value_bytes_max) {
        return false;
    }
    if (!ballot_sane(m->ballot) || !ballot_sane(m->accepted)) {
        return false;
    }
    if (told) {
        return true;
    }
    /* A ballot belongs to one proposer: nobody else may ask in it. Instance 1 is given. */
    return m->instance.n > 1 && m->ballot.round > 0 && (!asks || m->ballot.node.n == m->from.n) &&
           (m->kind != PAXOS_PROMISE || paxos_ballot_cmp(m->accepted, m->ballot) <= 0);
}

static enum err step_open(struct paxos *p, const struct paxos_msg *m)
{
    p->round_seen = paxos_max(p->round_seen, m->ballot.round);
    switch (m->kind) {
    case PAXOS_PREPARE:
        return paxos_acceptor_prepare(p, m);
    case PAXOS_ACCEPT:
        return paxos_acceptor_accept(p, m);
    case PAXOS_PROMISE:
        return paxos_proposer_promise(p, m);
    case PAXOS_ACCEPTED:
        paxos_proposer_accepted(p, m); /* may decide, and open the next instance */
        if (m->instance.n == p->decided.n + 1) {
            paxos_learner_accepted(p, m);
        }
        return ERR_OK;
    case PAXOS_NACK:
        p->round_seen = paxos_max(p->round_seen, m->accepted.round);
        paxos_proposer_nack(p, m);
        return ERR_OK;
    case PAXOS_DECIDED:
    case PAXOS_ASK:
    case PAXOS_MSG_KINDS:
        break;
    }
    UNREACHABLE("not of one instance");
}

static void step_ask(struct paxos *p, const struct paxos_msg *m)
{
    if (m->instance.n < p->decided.n) {
        paxos_tell(p, m->from);
        paxos_proposer_repeat(p, m->from);
    }
}

enum err paxos_step(struct paxos *p, uint64_t now_us, const struct paxos_msg *msg)
{
    if (msg->to.n != p->cfg.self.n) {
        return ERR_MISROUTED;
    }
    if (!msg_sane(p, msg)) {
        return ERR_BAD_INPUT;
    }
    p->now_us = paxos_max(p->now_us, now_us);
    if (msg->kind == PAXOS_ASK) {
        step_ask(p, msg);
        return ERR_OK;
    }
    if (msg->kind == PAXOS_DECIDED) {
        return paxos_learner_told(p, msg->instance, msg->value);
    }
    if (msg->instance.n <= p->decided.n) {
        if (msg->kind == PAXOS_PREPARE || msg->kind == PAXOS_ACCEPT) {
            SOMETIMES(true, "paxos: one that acts on an old instance is told");
            paxos_tell(p, msg->from);
        }
        return ERR_OK;
    }
    if (p->decided.n == 0 || msg->instance.n > p->decided.n + 1) {
        SOMETIMES(true, "paxos: one that lags asks");
        paxos_send(p, PAXOS_ASK, msg->from, NULL)->instance = p->decided;
        return ERR_OK;
    }
    return step_open(p, msg);
}

enum err paxos_learn(struct paxos *p, uint64_t now_us, struct paxos_instance instance,
                     struct slice value)
{
    p->now_us = paxos_max(p->now_us, now_us);
    if (value.len > p->cfg.value_bytes_max) {
        return ERR_TOO_LARGE;
    }
    return paxos_learner_told(p, instance, value);
}

enum err paxos_propose(struct paxos *p, uint64_t now_us, struct paxos_instance instance,
                       struct slice value)
{
    struct paxos_proposer *o = &p->prop;
    struct paxos_council next;

    p->now_us = paxos_max(p->now_us, now_us);
    if (instance.n <= p->decided.n) {
        return ERR_STALE;
    }
    if (p->decided.n == 0 || instance.n > p->decided.n + 1) {
        return ERR_AGAIN;
    }
    if (p->forgot) {
        return ERR_REFUSED;
    }
    if (p->over || (o->wanted != NULL && !o->withdrawn)) {
        return ERR_FULL; /* the last one's end is not even listed yet, or it goes on */
    }
    if (value.len > p->cfg.value_bytes_max) {
        return ERR_TOO_LARGE;
    }
    if (!p->cfg.council_of(value, &next) || !paxos_council_valid(&next)) {
        return ERR_BAD_ARGUMENT;
    }
    paxos_bytes_set(&o->wanted, paxos_bytes_new(value));
    o->offered = o->withdrawn = false;
    if (o->phase == PAXOS_IDLE) {
        paxos_proposer_begin(p);
    }
    return ERR_OK;
}

/* --- time and durability --- */

void paxos_tick(struct paxos *p, uint64_t now_us)
{
    p->now_us = paxos_max(p->now_us, now_us);
    paxos_proposer_tick(p);
}

uint64_t paxos_deadline_us(const struct paxos *p)
{
    return p->forgot ? UINT64_MAX : paxos_min(p->prop.due_us, p->finish_due_us);
}

void paxos_durable(struct paxos *p, uint64_t now_us, uint64_t ticket)
{
    p->now_us = paxos_max(p->now_us, now_us);
    p->durable_ticket = paxos_max(p->durable_ticket, ticket);
    if (p->round_ticket <= p->durable_ticket) {
        p->round_durable = p->round_handed;
    }
    if (paxos_hard_gate(p) == 0) { /* the own promise, the own acceptance count now */
        paxos_proposer_look(p);
        paxos_learner_look(p, p->hard.accepted);
    }
}

/* --- views --- */

struct paxos_instance paxos_decided(const struct paxos *p)
{
    return p->decided;
}

struct slice paxos_value(const struct paxos *p)
{
    return p->value == NULL ? (struct slice){0} : p->value->bytes;
}

const struct paxos_council *paxos_council_now(const struct paxos *p)
{
    return &p->council;
}

enum paxos_phase paxos_phase(const struct paxos *p)
{
    return p->prop.phase;
}

struct paxos_hard paxos_hard(const struct paxos *p)
{
    return p->hard;
}

bool paxos_forgot(const struct paxos *p)
{
    return p->forgot;
}

const char *paxos_msg_name(enum paxos_msg_kind kind)
{
    static const char *const names[] = {
        "prepare", "promise", "accept", "accepted", "nack", "decided", "ask",
    };

    static_assert(ARRAY_COUNT(names) == PAXOS_MSG_KINDS, "a name for each kind");
    CHECK(kind < PAXOS_MSG_KINDS);
    return names[kind];
}

const char *paxos_phase_name(enum paxos_phase phase)
{
    static const char *const names[] = {"idle", "waiting", "preparing", "accepting"};

    CHECK(phase < ARRAY_COUNT(names));
    return names[phase];
}

const char *paxos_outcome_name(enum paxos_outcome outcome)
{
    static const char *const names[] = {"won", "lost", "unknown"};

    CHECK(outcome < ARRAY_COUNT(names));
    return names[outcome];
}
