/* paxos.pml - one instance of the synod: at most one value is ever chosen.
 *
 * Mirrors src/core/paxos: paxos_acceptor.c, paxos_proposer.c, the gates of paxos_flush.c, what
 * paxos_create takes from disk, and the counting of paxos_learner.c. Which part mirrors which
 * function: docs/howto/models.md.
 *
 * Properties
 *   one_value  no two values are chosen: accepted in one ballot by a quorum of phase 2
 *   learned    what a learner takes for chosen is
 *
 * Abstractions, and why they hide no error
 *   What was said is never unsaid: every message stays, and may be received at any time, any
 *   number of times, or never. So loss, delay, reordering and duplication are all in it.
 *   A ballot has a process, not a proposer. One that is outbid or restarts leaves its ballot
 *   where it is and begins a higher one; here any ballot may begin at any time. That a ballot
 *   is used once is what the round on disk is for (BUG_REUSED leaves that out).
 *   A proposer that is free takes either of two values. Its own acceptor is one like the others:
 *   that its votes count only once durable is its gate.
 *   An acceptor writes after each message. Several in one write are lost together in a crash;
 *   since nothing of them was spoken, that is the same as never having received them.
 *   AT_ONCE: an acceptor writes and speaks in one step, so that three ballots fit. By the two
 *   lines above nothing is lost but the gates themselves, which the other runs look at.
 *   What nobody looks at any more is forgotten: promises of a ballot in its phase 2. An acceptor
 *   that hears of a ballot after that promises more and tells nobody: it only accepts less.
 *   A nack changes nobody's promises: it is left out, as are time and back-off.
 *   Instances share nothing but who sits in the council, which is fixed before one begins. The
 *   chain is judged by the random harness (test/unit/paxos).
 *
 * Bounds: three acceptors, BALLOTS ballots, two values, one acceptor that forgets.
 *
 * Measured on a busy machine of two cores, states and seconds: gates 39577, 1 (with three
 * ballots 1928885, 16, 419 MiB); majority 306637, 6; all-and-one 192641, 3; one-and-all 309205,
 * 5. At most 160 MiB. Each planted bug is found within a few seconds.
 *
 * runs
 *   holds gates        -DBALLOTS=2
 *   holds majority     -DBALLOTS=3 -DAT_ONCE
 *   holds all-and-one  -DBALLOTS=3 -DAT_ONCE -DQ1=3 -DQ2=1
 *   holds one-and-all  -DBALLOTS=3 -DAT_ONCE -DQ1=1 -DQ2=3
 *   fails no-meeting   -DBALLOTS=2 -DQ1=2 -DQ2=1    quorums that need not meet
 *   fails promise      -DBALLOTS=2 -DBUG_PROMISE    accepts below its promise
 *   fails ungated      -DBALLOTS=2 -DBUG_UNGATED    speaks before the write is durable
 *   fails forgot       -DBALLOTS=2 -DBUG_FORGOT     goes on under its id though it forgot
 *   fails own-value    -DBALLOTS=2 -DBUG_OWN_VALUE  proposes its own value whatever was accepted
 *   fails newest       -DAT_ONCE -DBUG_NEWEST       takes the value of the promise that came last
 *   fails reused       -DBALLOTS=2 -DAT_ONCE -DBUG_REUSED  begins a ballot again after a restart
 *   fails mixed        -DBALLOTS=2 -DAT_ONCE -DBUG_MIXED   a learner counts ballots together
 */
#ifndef BALLOTS
#define BALLOTS 3
#endif
#ifndef Q1
#define Q1 2
#endif
#ifndef Q2
#define Q2 2
#endif
#define A 3
#define BIT(i) (1 << (i))
#define COUNT(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))

/* Acceptors: in memory and on disk. */
byte promised[A], acc[A], accv[A];
byte d_promised[A], d_acc[A], d_accv[A];
byte held[A]; /* what waits for the write: a ballot promised; 8 * value + a ballot accepted */
bool silent[A], forgotten;

/* Ballots 1 and up. */
byte phase[BALLOTS + 1], got[BALLOTS + 1], best[BALLOTS + 1], bestv[BALLOTS + 1];

/* What was said. */
byte promises[BALLOTS + 1];              /* by whom, as bits, */
byte told[(BALLOTS + 1) * A];            /* and what they told: 8 * value + ballot; 0: nothing */
byte offer[BALLOTS + 1];                 /* values, as bits */
byte took[(BALLOTS + 1) * 3];            /* who accepted ballot and value */

byte chosen; /* ghost */
hidden byte x_i, x_set, one_value, learned;

/* A gate has opened: the promise or the acceptance leaves. */
inline say(a, b, v)
{
    if
    :: v == 0 ->
        promises[b] = promises[b] | BIT(a);
        told[b * A + a] = 8 * accv[a] + acc[a];
        printf("acceptor %d promises ballot %d; it accepted value %d in ballot %d\n", a, b,
               accv[a], acc[a])
    :: else ->
        took[b * 3 + v] = took[b * 3 + v] | BIT(a);
        printf("acceptor %d says that it accepted value %d in ballot %d\n", a, v, b);
        if
        :: COUNT(took[b * 3 + v]) >= Q2 ->
            one_value = chosen == 0 || chosen == v;
            chosen = v;
            printf("value %d is chosen\n", v);
            assert(one_value)
        :: else
        fi
    fi
}

inline hold(a, b, v)
{
#if defined(BUG_UNGATED) || defined(AT_ONCE)
    say(a, b, v);
#endif
#ifdef AT_ONCE
    skip
#else
    held[a] = 8 * (v) + b
#endif
}

#define READY(a) (held[a] == 0 && !silent[a])
#define CAN_PROMISE(a, b) \
    (READY(a) && phase[b] > 0 && b > promised[a] && !(promises[b] & BIT(a)))
#ifdef BUG_PROMISE
#define ABOVE(a, b) true
#else
#define ABOVE(a, b) (b >= promised[a])
#endif
#define CAN_ACCEPT(a, b, v) \
    (READY(a) && (offer[b] & BIT(v)) && ABOVE(a, b) && !(acc[a] == b) && \
     !(took[b * 3 + v] & BIT(a)))

inline promise(a, b)
{
    promised[a] = b;
    hold(a, b, 0)
}

inline accept(a, b, v)
{
    promised[a] = b;
    acc[a] = b;
    accv[a] = v;
    hold(a, b, v)
}

/* paxos_durable and the gates. */
inline durable(a)
{
    d_promised[a] = promised[a];
    d_acc[a] = acc[a];
    d_accv[a] = accv[a];
#ifndef BUG_UNGATED
    say(a, (held[a] & 7), (held[a] >> 3));
#endif
    held[a] = 0
}

/* paxos_create: what is on disk. */
inline restart(a)
{
    promised[a] = d_promised[a];
    acc[a] = d_acc[a];
    accv[a] = d_accv[a];
    held[a] = 0;
    printf("acceptor %d restarts: promised %d, accepted value %d in ballot %d\n", a, promised[a],
           accv[a], acc[a])
}

inline forget(a)
{
    forgotten = true;
    printf("acceptor %d loses its disk\n", a);
#ifdef BUG_FORGOT
    d_promised[a] = 0; d_acc[a] = 0; d_accv[a] = 0;
    promised[a] = 0; acc[a] = 0; accv[a] = 0;
#else
    silent[a] = true;
#endif
    held[a] = 0
}

proctype Acceptor(byte a)
{
end:
    do
    :: d_step { CAN_PROMISE(a, 1) -> promise(a, 1) }
    :: d_step { CAN_PROMISE(a, 2) -> promise(a, 2) }
    :: d_step { CAN_ACCEPT(a, 1, 1) -> accept(a, 1, 1) }
    :: d_step { CAN_ACCEPT(a, 1, 2) -> accept(a, 1, 2) }
    :: d_step { CAN_ACCEPT(a, 2, 1) -> accept(a, 2, 1) }
    :: d_step { CAN_ACCEPT(a, 2, 2) -> accept(a, 2, 2) }
#if BALLOTS >= 3
    :: d_step { CAN_PROMISE(a, 3) -> promise(a, 3) }
    :: d_step { CAN_ACCEPT(a, 3, 1) -> accept(a, 3, 1) }
    :: d_step { CAN_ACCEPT(a, 3, 2) -> accept(a, 3, 2) }
#endif
    :: d_step { held[a] != 0 -> durable(a) }
    :: d_step { held[a] != 0 -> restart(a); skip }
    :: d_step { !forgotten -> forget(a); skip }
    od
}

/* paxos_proposer_promise: the value of the highest ballot that is told of. */
#ifdef BUG_NEWEST
#define COUNTS(b, a) (told[b * A + a] != 0)
#else
#define COUNTS(b, a) ((told[b * A + a] & 7) > best[b])
#endif
#define CAN_HEAR(b, a) \
    (phase[b] == 1 && COUNT(got[b]) < Q1 && (promises[b] & BIT(a)) && !(got[b] & BIT(a)))
inline hear(b, a)
{
    got[b] = got[b] | BIT(a);
    if
    :: COUNTS(b, a) -> best[b] = told[b * A + a] & 7; bestv[b] = told[b * A + a] >> 3
    :: else
    fi;
    printf("ballot %d has heard the promise of %d\n", b, a)
}

/* begin_accept: bound to what was found, or free. */
#if BALLOTS >= 3
#define OFFERED (offer[1] | offer[2] | offer[3])
#else
#define OFFERED (offer[1] | offer[2])
#endif
#define FREE(v) (v == 1 || OFFERED != 0) /* the value offered first is called 1 */
#ifdef BUG_OWN_VALUE
#define MAY_OFFER(b, v) (phase[b] == 1 && COUNT(got[b]) == Q1 && FREE(v))
#else
#define MAY_OFFER(b, v) \
    (phase[b] == 1 && COUNT(got[b]) == Q1 && (bestv[b] == v || (bestv[b] == 0 && FREE(v))))
#endif
inline propose(b, v)
{
    offer[b] = offer[b] | BIT(v);
    phase[b] = 2;
    got[b] = 0;
    best[b] = 0;
    bestv[b] = 0;
#ifndef BUG_REUSED
    promises[b] = 7; /* nobody looks at them any more */
    told[b * A] = 0;
    told[b * A + 1] = 0;
    told[b * A + 2] = 0;
#endif
    printf("ballot %d asks to accept value %d\n", b, v)
}

proctype Ballot(byte b)
{
end:
    do
    :: d_step { phase[b] == 0 -> phase[b] = 1; printf("ballot %d begins\n", b) }
    :: d_step { CAN_HEAR(b, 0) -> hear(b, 0) }
    :: d_step { CAN_HEAR(b, 1) -> hear(b, 1) }
    :: d_step { CAN_HEAR(b, 2) -> hear(b, 2) }
    :: d_step { MAY_OFFER(b, 1) -> propose(b, 1) }
    :: d_step { MAY_OFFER(b, 2) -> propose(b, 2) }
#ifdef BUG_REUSED
    :: d_step { phase[b] == 2 -> phase[b] = 1; printf("ballot %d begins again\n", b) }
#endif
    od
}

/* paxos_learner_look: who accepted this value in this ballot; or, planted, in any. */
#ifdef BUG_MIXED
inline supporters(b, v)
{
    x_set = 0;
    for (x_i : 3 .. (BALLOTS + 1) * 3 - 1) { x_set = x_set | took[x_i] }
}
#else
inline supporters(b, v)
{
    x_set = took[b * 3 + v]
}
#endif
inline learn(b, v)
{
    supporters(b, v);
    if
    :: took[b * 3 + v] != 0 && COUNT(x_set) >= Q2 ->
        learned = chosen == v;
        printf("value %d is taken for chosen\n", v);
        assert(learned)
    :: else
    fi
}

proctype Learner(byte b)
{
end:
    do
    :: d_step { took[b * 3 + 1] != 0 -> learn(b, 1); skip }
    :: d_step { took[b * 3 + 2] != 0 -> learn(b, 2); skip }
    od
}

init
{
    atomic {
        run Acceptor(0);
        run Acceptor(1);
        run Acceptor(2);
        run Ballot(1);
        run Ballot(2);
#if BALLOTS >= 3
        run Ballot(3);
        run Learner(3);
#endif
        run Learner(1);
        run Learner(2)
    }
}
