/* lease.pml - reads without a log entry, across pauses, drift and late messages.
 *
 * Mirrors src/core/raft/raft_read.c (lease and read-index), the stickiness of
 * raft_election.c, raft_start(), raft_transfer.c, and the order of a turn in
 * src/node/node.h: inputs are collected, then the clock is read, then all is handled with
 * that time. Which part mirrors which function: docs/howto/models.md.
 *
 * Property
 *   fresh   a read that was sent after a later leader had acknowledged a write is never
 *           answered by the older one
 *
 * The older leader is replica 0. It never learns that it was replaced (it may be paused
 * between any two steps for as long as the search likes), since learning it only ends its
 * answers. Once a later leader is elected, a write is acknowledged at once.
 *
 * Abstractions, and why they hide no error
 *   Ages instead of times: how long ago by the leader's clock the stamp of a message or of an
 *   echo was taken; a stamp on which no lease can rest any more is as good as none.
 *   One message under way between the leader and a follower, the append or its answer. A
 *   second append would make the follower stick longer, a second answer carries an older
 *   stamp; overwriting one is losing it.
 *   A follower handles a message at once: it stands for the moment it read its clock, which
 *   is after the message came. What it says leaves later: the answer is "under way".
 *   Drift: in DELAY ticks of the voters the leader's clock misses at most one (a slow leader
 *   is the bad direction), and the lease is one tick shorter than DELAY.
 *   Replica 1 is the one that campaigns; replicas 1 and 2 are alike. A vote of the older
 *   leader itself ends its leadership: it is left out. So are pre-votes and the election
 *   timers: they only make elections later than DELAY.
 *   The index that a read waits for is raft_conf.pml's matter (leader completeness).
 *
 * Bounds: three voters and one later leader; one read at a time; DELAY ticks.
 * ALONE: the older leader has appended the configuration of which replica 1 is the only
 * voter, and does not know yet that it is committed. ROUNDS: lease_reads is off.
 *
 * Measured on a busy machine of two cores, states and seconds: three 214281, 7; transfer
 * 192844, 6; alone (DELAY 4) 253169, 11; rounds 1429, 0.5. At most 142 MiB. Each planted bug is
 * found within a second.
 *
 * runs
 *   holds three          -DDELAY=4
 *   holds transfer       -DDELAY=3 -DTRANSFER
 *   holds alone          -DDELAY=3 -DALONE
 *   holds rounds         -DROUNDS
 *   fails from-reply     -DBUG_FROM_REPLY      the lease counts from when the answer came
 *   fails early-clock    -DBUG_EARLY_CLOCK     the clock is read before inputs are collected
 *   fails no-drift       -DBUG_NO_DRIFT        the lease is as long as the stickiness
 *   fails for-ever       -DBUG_FOR_EVER        a lease does not end
 *   fails not-sticky     -DBUG_NOT_STICKY      votes are given while a leader was just heard
 *   fails restart        -DBUG_RESTART         a voter that just started gives votes
 *   fails alone-start    -DALONE -DBUG_ALONE_START  the only voter leads as soon as it starts
 *   fails transfer       -DTRANSFER -DBUG_TRANSFER  a transfer leaves the lease in force
 *   fails transfer-ends  -DTRANSFER -DBUG_TRANSFER_ENDS  the lease is back when it is given up
 *   fails old-round      -DROUNDS -DBUG_OLD_ROUND   a round begun before the read confirms it
 */
#ifndef DELAY
#define DELAY 3 /* ticks: election_us_min, for which a voter sticks to its leader */
#endif
#ifdef BUG_NO_DRIFT
#define LEASE DELAY
#else
#define LEASE (DELAY - 1)
#endif
#define F(f) ((f) - 1) /* followers 1 and 2 */

/* Stamps: 0 none (or too old), else the age plus 1: up to LEASE. */
byte echo[2];   /* newest stamp that the follower echoed */
#define NOTHING 0
#define APPEND 1
#define ANSWER 2
byte wire[2];   /* between the leader and the follower */
byte stamp[2];  /* of that message */
bool asks[2];   /* it is of the round that the read began */
bool confirmed[2]; /* that round, by the follower */
byte sticky[2]; /* ticks for which the follower sticks to the leader */
byte missed = DELAY - 1; /* ticks since the leader's clock missed one, no more than that */
bool candidate; /* replica 1 */
bool forced;    /* by a transfer */
bool later;     /* replica 1 leads, and acknowledged a write */
bool lease_off;
bool timeout_now; /* under way to replica 1 */

/* The client's one read. */
#define NO_READ 0
#define SENT 1
#define COLLECTED 2
#define WAITING 3 /* for a lease, or a round */
byte read;
bool read_must_see; /* sent after the later write was acknowledged */

bool handling; /* the leader has read its clock for this turn; else it collects */
bool lease;    /* in force by that clock */

hidden byte x_i, fresh;

#define AGE(s) ((s) == 0 || (s) >= LEASE -> 0 : (s) + 1)
#define NEWER(a, b) ((a) == 0 || ((b) != 0 && (b) < (a)) -> (b) : (a))
#ifdef ALONE
#define BY_QUORUM(a) (a[F(1)])
#else
#define BY_QUORUM(a) (a[F(1)] || a[F(2)]) /* with the leader itself: two of three */
#endif

inline tick(leader_too)
{
    for (x_i : 0 .. 1) {
        if :: sticky[x_i] > 0 -> sticky[x_i]-- :: else fi;
        if
        :: leader_too -> stamp[x_i] = AGE(stamp[x_i]); echo[x_i] = AGE(echo[x_i])
        :: else
        fi
    }
    if
    :: leader_too -> missed = (missed < DELAY - 1 -> missed + 1 : missed); printf("tick\n")
    :: else -> missed = 0; printf("tick, missed by the leader's clock\n")
    fi
}

proctype Time()
{
end:
    do
#ifndef ROUNDS
    :: d_step { true -> tick(true); skip }
    :: d_step { missed == DELAY - 1 -> tick(false); skip }
#else
    :: false
#endif
    od
}

/* --- the older leader: one turn after the other --- */

#ifdef BUG_EARLY_CLOCK
#define COLLECTING true
#else
#define COLLECTING !handling
#endif
inline collect(f)
{
#ifdef BUG_FROM_REPLY
    echo[F(f)] = 1;
#else
    echo[F(f)] = NEWER(echo[F(f)], stamp[F(f)]);
#endif
    confirmed[F(f)] = confirmed[F(f)] || asks[F(f)];
    wire[F(f)] = NOTHING;
    stamp[F(f)] = 0;
    asks[F(f)] = false;
    printf("the leader collects an answer of %d\n", f)
}

inline read_clock()
{
    handling = true;
#ifdef BUG_FOR_EVER
    lease = lease || BY_QUORUM(echo);
#elif !defined(ROUNDS)
    lease = BY_QUORUM(echo);
#endif
    printf("the leader reads its clock: lease %d\n", lease)
}

inline answer_read(how)
{
    printf("the leader answers the read (1: lease, 2: round): %d\n", how);
    fresh = !read_must_see;
    assert(fresh);
    read = NO_READ;
    read_must_see = false;
    for (x_i : 0 .. 1) {
        confirmed[x_i] = false;
        asks[x_i] = false
    }
}

inline handle()
{
    if
    :: (read == COLLECTED || read == WAITING) && lease && !lease_off -> answer_read(1)
    :: read == WAITING && !(lease && !lease_off) && BY_QUORUM(confirmed) -> answer_read(2)
    :: read == COLLECTED && !(lease && !lease_off) ->
        read = WAITING;
#ifndef BUG_OLD_ROUND
        confirmed[0] = false;
        confirmed[1] = false
#endif
    :: else
    fi;
    handling = false;
#ifndef BUG_FOR_EVER
    lease = false
#endif
}

inline send_append(f)
{
    wire[F(f)] = APPEND;
    stamp[F(f)] = 1;
#ifdef BUG_OLD_ROUND
    asks[F(f)] = true;
#elif defined(ROUNDS)
    asks[F(f)] = read == WAITING;
#endif
    printf("the leader sends an append to %d\n", f)
}

proctype Leader()
{
end:
    do
    :: d_step { COLLECTING && read == SENT -> read = COLLECTED; printf("it is collected\n") }
    :: d_step { COLLECTING && wire[F(1)] == ANSWER -> collect(1); skip }
    :: d_step { COLLECTING && wire[F(2)] == ANSWER -> collect(2); skip }
    :: d_step { !handling -> read_clock(); skip }
    :: d_step { handling -> handle(); skip }
    :: d_step { !handling && !later -> send_append(1); skip }
    :: d_step { !handling && !later -> send_append(2); skip }
#ifdef TRANSFER
    :: d_step { !handling && !lease_off && !timeout_now && !later ->
#ifndef BUG_TRANSFER
           lease_off = true;
#endif
           timeout_now = true;
           printf("the leader hands over to 1\n") }
#endif
#ifdef BUG_TRANSFER_ENDS
    :: d_step { !handling && lease_off -> lease_off = false; printf("it gives that up\n") }
#endif
    od
}

/* --- followers --- */

inline receive(f)
{
    wire[F(f)] = ANSWER;
    sticky[F(f)] = DELAY;
    printf("follower %d hears from the leader\n", f)
}

inline lead()
{
    printf("replica 1 leads, and acknowledges a write\n");
    later = true;
    candidate = false;
    forced = false;
    timeout_now = false;
    for (x_i : 0 .. 1) {
        sticky[x_i] = 0;
        if
        :: wire[x_i] == APPEND -> wire[x_i] = NOTHING; stamp[x_i] = 0; asks[x_i] = false
        :: else
        fi
    }
}

inline start(f)
{
    printf("follower %d starts anew\n", f);
#ifdef BUG_RESTART
    sticky[F(f)] = 0;
#else
    sticky[F(f)] = DELAY;
#endif
    if
    :: f == 1 -> candidate = false; forced = false
    :: else
    fi;
#ifdef BUG_ALONE_START
    if
    :: f == 1 -> lead()
    :: else
    fi
#endif
}

#if defined(BUG_NOT_STICKY) || defined(ROUNDS) /* rounds do not rest on it */
#define STICKS(f) false
#else
#define STICKS(f) (sticky[F(f)] != 0)
#endif
#ifdef ALONE
#define ELECTED true
#else
#define ELECTED (forced || !STICKS(2))
#endif

proctype Follower(byte me)
{
end:
    do
    :: d_step { wire[F(me)] == APPEND && !later && !(me == 1 && candidate) -> receive(me); skip }
    :: d_step { !later -> start(me); skip }
    :: d_step { me == 1 && !STICKS(1) && !candidate && !later ->
           candidate = true; printf("replica 1 campaigns\n") }
    :: d_step { me == 1 && timeout_now && !candidate && !later ->
           candidate = true; forced = true; timeout_now = false;
           printf("replica 1 campaigns at the leader's word\n") }
    :: d_step { me == 1 && candidate && ELECTED -> lead(); skip }
    od
}

proctype Client()
{
end:
    do
    :: d_step { read == NO_READ -> read = SENT; read_must_see = later;
           printf("a read is sent; 1 if a later write was acknowledged: %d\n", later) }
    od
}

init
{
    atomic {
        run Time();
        run Leader();
        run Follower(1);
        run Follower(2);
        run Client()
    }
}
