/* raft_conf.pml - elections, commit and configurations of one Raft group.
 *
 * Mirrors src/core/raft: raft_conf.c (legal steps, what is in force, leaving the joint
 * configuration, a leader without a vote), raft_election.c (who may campaign, who votes for
 * whom, counting), raft_replication.c (append, truncate, acknowledge, commit) and
 * src/core/quorum. Which part mirrors which function: docs/howto/models.md.
 *
 * Properties
 *   one_leader   no term has two candidates that both count a quorum
 *   kept         who leads has every entry committed before, and no two leaders commit
 *                different entries at an index; so no two quorums were disjoint
 *   way_out      (STUCK) with all replicas alive, some replica can always be elected
 *
 * Abstractions, and why they hide no error
 *   One term after the other. A message of a lower term is dropped and one of a higher term
 *   is only received by entering that term. So every step depends only on steps of the same
 *   or of lower terms, and any run can be put in the order of terms without changing what any
 *   single replica saw. Delayed messages of old terms are thereby included.
 *   No network. The leader's log of a term only grows and an acknowledgement stays true for
 *   that term, so "the message arrives late" is "the step is taken late". One entry at a
 *   time: a longer message is several of them.
 *   Votes first, then the leader's work. In a term a vote reads and changes only the voter,
 *   who has not yet heard from the leader: it can be moved before the election is won. At most
 *   two candidates: a third only takes votes away from them.
 *   Every vote and acknowledgement is durable (gates; see wal.pml). A follower that crashes
 *   before its write has not received the message. A leader that crashes loses what it sent
 *   and had not stored: `next_term(true)`.
 *   Pre-vote, check-quorum, stickiness and transfer only decide when somebody campaigns or
 *   refuses: here anybody campaigns at any time and nobody refuses for their sake.
 *   A follower's commit index is left out: `electable` takes the most permissive one.
 *   Snapshots are left out: a configuration's place in the log is what counts.
 *
 * Bounds: four replicas, first 0 1 2 vote; 3 is taken in as a learner and may replace 2
 * (change A) or 1 (change B), as node_member.c does it; the first leader is 0 or 2.
 * SHRINK: two replicas, one of them leaves. STILL: three, and no change. TERMS terms, LEN entries.
 *
 * Measured on a busy machine of two cores, states and seconds: swap 819259, 12; still 14957, 0.5;
 * shrink 5989, 0.4. At most 216 MiB. Each planted bug is found within a second.
 *
 * runs
 *   holds swap       -DTERMS=3 -DLEN=5
 *   holds still      -DSTILL -DTERMS=5 -DLEN=5
 *   holds shrink     -DSHRINK -DSTUCK -DTERMS=4 -DLEN=6
 *   fails one-step       -DBUG_ONE_STEP      the new voters without a joint configuration
 *   fails old-half-only  -DBUG_OLD_HALF      joint: only the outgoing half is asked
 *   fails new-half-only  -DBUG_NEW_HALF      joint: only the incoming half is asked
 *   fails anyone-counts  -DBUG_ANYONE_COUNTS a replica without a vote counts (learner, removed)
 *   fails leave-early    -DBUG_LEAVE_EARLY   the joint configuration is left uncommitted
 *   fails figure-8       -DBUG_FIGURE_8 -DSTILL -DTERMS=5  older terms' entries by counting
 *   fails old-log        -DBUG_OLD_LOG       votes for a candidate with an older log
 *   fails unsynced       -DBUG_UNSYNCED      the leader counts what it has not stored
 *   fails not-electable  -DBUG_NOT_ELECTABLE -DSHRINK -DSTUCK   removed: may not campaign
 */
#ifndef TERMS
#define TERMS 3
#endif
#ifndef LEN
#define LEN 5
#endif

/* Configurations, by number. In a joint one the outgoing half is FIRST. */
#define NONE 0    /* a plain entry; as the configuration in force: FIRST */
#define LEARNER 1 /* FIRST, and a learner */
#define JOINT_A 2
#define FINAL_A 3
#define JOINT_B 4
#define FINAL_B 5
#ifdef SHRINK
#define NODES 2
#define FIRST 3 /* replicas 0 and 1, as a set of bits */
#define VOTERS_A 1
#define VOTERS_B 2
#else
#ifdef STILL
#define NODES 3
#else
#define NODES 4
#endif
#define FIRST 7     /* 0 1 2 */
#define VOTERS_A 11 /* 0 1 3 */
#define VOTERS_B 13 /* 0 2 3 */
#endif
#define IS_JOINT(c) ((c) == JOINT_A || (c) == JOINT_B)
#define VOTERS(c) ((c) <= LEARNER -> FIRST : ((c) <= FINAL_A -> VOTERS_A : VOTERS_B))
#define IS_VOTER(n, c) (((VOTERS(c) | (IS_JOINT(c) -> FIRST : 0)) & BIT(n)) != 0)

/* Sets of replicas, and the quorum rule. */
#define BIT(n) (1 << (n))
#define ONES(x) (((x) & 1) + (((x) >> 1) & 1) + (((x) >> 2) & 1) + (((x) >> 3) & 1))
#ifdef BUG_ANYONE_COUNTS
#define MAJORITY(set, all) (2 * ONES(set) > ONES(all))
#else
#define MAJORITY(set, all) (2 * ONES((set) & (all)) > ONES(all))
#endif
#if defined(BUG_OLD_HALF)
#define QUORUM(set, c) (IS_JOINT(c) -> MAJORITY(set, FIRST) : MAJORITY(set, VOTERS(c)))
#elif defined(BUG_NEW_HALF)
#define QUORUM(set, c) MAJORITY(set, VOTERS(c))
#else
#define QUORUM(set, c) (MAJORITY(set, VOTERS(c)) && (!IS_JOINT(c) || MAJORITY(set, FIRST)))
#endif

/* An entry is its term and its configuration, if it is one. Indexes begin with 1. */
#define ENTRY(t, c) ((t) * 8 + (c))
#define TERM_OF(e) ((e) / 8)
#define CONF_OF(e) ((e) % 8)
#define LOG(n, i) log[(n) * LEN + (i) - 1]
#define LAST_TERM(n) (last[n] == 0 -> 0 : TERM_OF(LOG(n, last[n])))

byte log[NODES * LEN];
byte last[NODES];

/* Of the present term. */
#define NOBODY NODES
#define OUTSIDE 0   /* has not voted in it */
#define CANDIDATE 1 /* voted for itself */
#define VOTED 2     /* plus for whom */
byte term = 1;
byte vote[NODES];
byte candidates;
byte leader = NOBODY;
bool resigned; /* it stepped down: removed */
byte commit;   /* the leader's */
byte ack[NODES]; /* what the leader has been told, or will be; its own: what it has stored */

/* Ghosts: what was ever committed. */
byte chosen[LEN + 1];
byte chosen_last;

/* Scratch of one step: no part of the state. Used only inside d_step, which saves the whole
 * state; outside, undoing a step would go by a changed index. */
hidden byte x_i, x_k, x_conf, x_conf_at, x_set, x_meet, x_yes;
hidden byte one_leader, kept, way_out; /* the properties, by name */

/* The newest configuration in the log is in force, committed or not. */
inline conf_in_force(n)
{
    x_conf = NONE;
    x_conf_at = 0;
    for (x_i : 1 .. last[n]) {
        if
        :: CONF_OF(LOG(n, x_i)) != NONE -> x_conf = CONF_OF(LOG(n, x_i)); x_conf_at = x_i
        :: else
        fi
    }
}

inline append_own(n, e)
{
    last[n]++;
    LOG(n, last[n]) = e
}

/* --- follower --- */

/* How far the replica's log is that of the leader, then one entry more: what follows in its
 * own log is cut, and with it the configurations there. The acknowledgement names what is
 * known to be the same. */
#define CAN_RECEIVE(n) (leader != NOBODY && leader != n && ack[n] != last[leader])
inline receive(n)
{
    x_meet = 0;
    do
    :: x_meet < last[n] && x_meet < last[leader] &&
           LOG(n, x_meet + 1) == LOG(leader, x_meet + 1) -> x_meet++
    :: else -> break
    od;
    if
    :: x_meet < last[leader] ->
        for (x_i : x_meet + 1 .. LEN) { LOG(n, x_i) = 0 }
        x_meet++;
        LOG(n, x_meet) = LOG(leader, x_meet);
        last[n] = x_meet;
        printf("replica %d takes entry %d from leader %d\n", n, x_meet, leader)
    :: else
    fi;
    ack[n] = x_meet
}

/* --- election --- */

/* A voter of the configuration in force, or of one before it that may turn out to be the
 * committed one. */
inline electable(n)
{
    conf_in_force(n);
    x_yes = IS_VOTER(n, x_conf);
#ifndef BUG_NOT_ELECTABLE
    x_yes = x_yes || (x_conf != NONE && (FIRST & BIT(n)) != 0)
#endif
}

inline campaign(n)
{
    electable(n);
    if
    :: x_yes ->
        vote[n] = CANDIDATE;
        candidates++;
        printf("replica %d campaigns in term %d, its log ends at %d of term %d\n", n, term,
               last[n], LAST_TERM(n))
    :: else
    fi
}

#ifdef BUG_OLD_LOG
#define UP_TO_DATE(k, n) true
#else
#define UP_TO_DATE(k, n)                                                                           \
    (LAST_TERM(k) > LAST_TERM(n) || (LAST_TERM(k) == LAST_TERM(n) && last[k] >= last[n]))
#endif
#define CAN_GRANT(n, k)                                                                            \
    (leader == NOBODY && k != n && vote[k] == CANDIDATE && vote[n] == OUTSIDE && UP_TO_DATE(k, n))
inline grant(n, k)
{
    vote[n] = VOTED + k;
    printf("replica %d votes for %d in term %d\n", n, k, term)
}

inline votes_of(k)
{
    x_set = BIT(k);
    for (x_i : 0 .. NODES - 1) {
        if :: vote[x_i] == VOTED + k -> x_set = x_set | BIT(x_i) :: else fi
    }
}

inline win(n)
{
    votes_of(n);
    conf_in_force(n);
    if
    :: QUORUM(x_set, x_conf) ->
        printf("replica %d leads term %d by the votes %d under configuration %d\n", n, term,
               x_set, x_conf);
        for (x_k : 0 .. NODES - 1) {
            if
            :: x_k != n && vote[x_k] == CANDIDATE ->
                votes_of(x_k);
                conf_in_force(x_k);
                one_leader = !QUORUM(x_set, x_conf);
                assert(one_leader)
            :: else
            fi
        }
        for (x_i : 1 .. chosen_last) {
            kept = x_i <= last[n] && LOG(n, x_i) == chosen[x_i];
            assert(kept)
        }
        leader = n;
        ack[n] = last[n];
        append_own(n, ENTRY(term, NONE));
        candidates = 0;
        for (x_i : 0 .. NODES - 1) { vote[x_i] = OUTSIDE }
    :: else
    fi
}

/* --- leader --- */

#define LEADS(n) (leader == n && !resigned)

/* One change at a time, the newest configuration committed and not joint, and an entry of
 * this term committed: the guard's commit > 0. */
#define MAY_CHANGE(n) (LEADS(n) && last[n] < LEN && commit > 0)
#define SETTLED (x_conf_at <= commit && !IS_JOINT(x_conf))
#define CHANGES(c) ((c) <= LEARNER) /* no voters were changed before: a bound */
inline propose_conf(n, c)
{
    conf_in_force(n);
    if
    :: SETTLED && x_conf != c && CHANGES(x_conf) ->
        append_own(n, ENTRY(term, c));
        printf("leader %d appends configuration %d at %d\n", n, c, last[n]);
#ifdef BUG_LEAVE_EARLY
        if
        :: IS_JOINT(c) && last[n] < LEN -> append_own(n, ENTRY(term, c + 1))
        :: else
        fi
#endif
    :: else
    fi
}

/* After a commit: leave the joint configuration, or step down if removed. */
inline conf_committed(n)
{
    if
    :: x_conf_at > commit || x_conf == NONE
    :: x_conf_at <= commit && IS_JOINT(x_conf) && last[n] < LEN ->
        append_own(n, ENTRY(term, x_conf + 1));
        printf("leader %d appends configuration %d at %d\n", n, x_conf + 1, last[n])
    :: x_conf_at <= commit && IS_JOINT(x_conf) && last[n] == LEN
    :: x_conf_at <= commit && x_conf != NONE && !IS_JOINT(x_conf) ->
        resigned = !IS_VOTER(n, x_conf)
    fi
}

/* Only entries of the leader's own term are committed by counting. */
#ifdef BUG_FIGURE_8
#define BY_COUNTING(n, i) true
#else
#define BY_COUNTING(n, i) (TERM_OF(LOG(n, i)) == term)
#endif
#ifdef BUG_UNSYNCED
#define COUNTS(n, i, index) (ack[i] >= index || i == n)
#else
#define COUNTS(n, i, index) (ack[i] >= index)
#endif
#define CAN_COMMIT(n, i) (LEADS(n) && commit < i && last[n] >= i && BY_COUNTING(n, i))
inline advance_commit(n, index)
{
    conf_in_force(n);
    x_set = 0;
    for (x_i : 0 .. NODES - 1) {
        if :: COUNTS(n, x_i, index) -> x_set = x_set | BIT(x_i) :: else fi
    }
    if
    :: QUORUM(x_set, x_conf) ->
        printf("leader %d commits up to %d: replicas %d have it, configuration %d\n", n, index,
               x_set, x_conf);
        commit = index;
        for (x_i : 1 .. index) {
            if
            :: x_i <= chosen_last -> kept = chosen[x_i] == LOG(n, x_i); assert(kept)
            :: else -> chosen[x_i] = LOG(n, x_i); chosen_last = x_i
            fi
        }
        conf_committed(n)
    :: else
    fi
}

/* --- the term ends: for everybody at some time of its own --- */

inline next_term(crash)
{
    if
    :: leader != NOBODY && crash ->
        printf("leader %d crashes; it had stored %d of %d\n", leader, ack[leader], last[leader]);
        for (x_i : ack[leader] + 1 .. LEN) { LOG(leader, x_i) = 0 }
        last[leader] = ack[leader]
    :: else
    fi;
    for (x_i : 0 .. NODES - 1) {
        vote[x_i] = OUTSIDE;
        ack[x_i] = 0
    }
    leader = NOBODY;
    candidates = 0;
    commit = 0;
    resigned = false;
    term++;
#ifdef STUCK
    x_meet = false;
    for (x_k : 0 .. NODES - 1) {
        electable(x_k);
        x_set = 0;
        for (x_i : 0 .. NODES - 1) {
            if :: UP_TO_DATE(x_k, x_i) -> x_set = x_set | BIT(x_i) :: else fi
        }
        x_meet = x_meet || (x_yes && QUORUM(x_set, x_conf))
    }
    way_out = x_meet;
    assert(way_out)
#endif
}

#define ME (_pid - 1)
proctype Replica()
{
end:
    do
    :: d_step { CAN_RECEIVE(ME) -> receive(ME); skip }
    :: d_step { leader == NOBODY && vote[ME] == OUTSIDE && candidates < 2 -> campaign(ME); skip }
    :: d_step { CAN_GRANT(ME, 0) -> grant(ME, 0); skip }
    :: d_step { CAN_GRANT(ME, 1) -> grant(ME, 1); skip }
#if NODES > 2
    :: d_step { CAN_GRANT(ME, 2) -> grant(ME, 2); skip }
#endif
#if NODES > 3
    :: d_step { CAN_GRANT(ME, 3) -> grant(ME, 3); skip }
#endif
    :: d_step { leader == NOBODY && vote[ME] == CANDIDATE && last[ME] < LEN -> win(ME); skip }
    :: d_step { LEADS(ME) && ack[ME] < last[ME] -> ack[ME] = last[ME] } /* stored */
#if NODES > 3
    :: d_step { MAY_CHANGE(ME) -> propose_conf(ME, LEARNER); skip }
#endif
#if defined(STILL)
#elif defined(BUG_ONE_STEP)
    :: d_step { MAY_CHANGE(ME) -> propose_conf(ME, FINAL_A); skip }
#else
    :: d_step { MAY_CHANGE(ME) -> propose_conf(ME, JOINT_A); skip }
    :: d_step { MAY_CHANGE(ME) -> propose_conf(ME, JOINT_B); skip }
#endif
    :: d_step { CAN_COMMIT(ME, 1) -> advance_commit(ME, 1); skip }
    :: d_step { CAN_COMMIT(ME, 2) -> advance_commit(ME, 2); skip }
    :: d_step { CAN_COMMIT(ME, 3) -> advance_commit(ME, 3); skip }
    :: d_step { CAN_COMMIT(ME, 4) -> advance_commit(ME, 4); skip }
    :: d_step { CAN_COMMIT(ME, 5) -> advance_commit(ME, 5); skip }
#if LEN > 5
    :: d_step { CAN_COMMIT(ME, 6) -> advance_commit(ME, 6); skip }
#endif
    od
}

proctype Terms()
{
end:
    do
    :: d_step { term < TERMS -> next_term(false); skip }
    :: d_step { term < TERMS && leader != NOBODY && ack[leader] < last[leader] ->
           next_term(true); skip }
    od
}

/* Term 1 has a leader, whose first entry is committed. */
init
{
    atomic {
        if
        :: leader = 0
        :: leader = (NODES == 2 -> 1 : 2)
        fi;
        d_step {
            for (x_i : 0 .. NODES - 1) {
                if
                :: FIRST & BIT(x_i) -> last[x_i] = 1; LOG(x_i, 1) = ENTRY(1, NONE); ack[x_i] = 1
                :: else
                fi
            }
            commit = 1;
            chosen[1] = ENTRY(1, NONE);
            chosen_last = 1
        }
        run Replica();
        run Replica();
#if NODES > 2
        run Replica();
#endif
#if NODES > 3
        run Replica();
#endif
        run Terms()
    }
}
