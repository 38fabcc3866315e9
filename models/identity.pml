/* identity.pml - the lives of one address: who may vote after a directory was lost or harmed.
 *
 * Mirrors src/node/node_boot.c (rebuild, the next generation, a log that is empty although the
 * node has voted), node_found.c (a new identity is refused, or joins), node_member.c
 * (victim_of, swap_in) and docs/decisions/0006. Which part mirrors which function:
 * docs/howto/models.md.
 *
 * Properties
 *   one_vote   no replica id votes for two candidates in one term
 *   one_place  the voters never hold two ids of the address
 *
 * Abstractions, and why they hide no error
 *   One group, one address whose node is in trouble; the other two voters are sound, lead, and
 *   know the map. A configuration changes in one step: that is raft_conf.pml's matter.
 *   An id is a number, a new one for each life and each generation: what distinguishes them
 *   (random, counted) does not matter, only that none is used twice.
 *   A vote is durable before it is spoken (gates), and anybody may ask for one at any time.
 *
 * Limit: a directory put back from an old image, with its old id and a vote forgotten, cannot
 * be told from what lies in it. It is not in this model, but in past.pml.
 *
 * Bounds: TERMS terms, two candidates, IDS ids in all.
 *
 * Measured on a busy machine of two cores, states and seconds: lives 351141, 2.5. At most
 * 145 MiB. Each planted bug is found within a second.
 *
 * runs
 *   holds lives        -DIDS=4
 *   fails same-id      -DBUG_SAME_ID     damage: the replica goes on under its id
 *   fails empty-log    -DBUG_EMPTY_LOG   an empty log passes for one that was never written
 *   fails no-victim    -DBUG_NO_VICTIM   who joins is added, and nobody leaves
 */
#ifndef IDS
#define IDS 4
#endif
#define TERMS 2
#define NOBODY 0

/* The directory of the address. */
byte id = 1;        /* of the replica in it; 0: there is none */
byte next_id = 2;
bool log_started;   /* meta/map: the node has written to its log */
byte seen;          /* newest term in the log, and for whom it voted in it */
byte voted;
bool damaged;       /* the log is; seen and voted cannot be trusted */
bool log_empty;
bool running = true;

/* The group, as its leader has it: ids 1 and up, as bits. */
byte voters = 2;    /* of this address */
byte learner;

/* Ghost: what each id ever promised. */
byte promise[(IDS + 1) * TERMS];

hidden byte x_i, x_count, one_vote, one_place;
#define BIT(i) (1 << (i))

/* raft_handle_vote: a replica answers whoever asks; the leader counts it if it is a voter. */
#define CAN_VOTE(t, c)                                                                             \
    (running && id != 0 && (t > seen || (t == seen && (voted == 0 || voted == c))))
inline vote(t, c)
{
    seen = t;
    voted = c;
    log_started = true;
    log_empty = false;
    one_vote = promise[id * TERMS + t - 1] == 0 || promise[id * TERMS + t - 1] == c;
    promise[id * TERMS + t - 1] = c;
    printf("id %d votes for candidate %d in term %d\n", id, c, t);
    assert(one_vote)
}

/* A new id with nothing behind it. */
inline anew()
{
    id = next_id;
    next_id++;
    seen = 0;
    voted = 0;
    damaged = false;
    log_empty = true;
    running = true;
    printf("it begins anew as id %d\n", id)
}

/* node_boot: what is lost is rebuilt under the next generation. */
inline start()
{
    printf("the node starts\n");
    if
    :: id == 0 || damaged -> anew()
    :: id != 0 && !damaged && log_empty && log_started ->
#ifdef BUG_EMPTY_LOG
        seen = 0;
        voted = 0;
        running = true
#else
        anew()
#endif
    :: id != 0 && !damaged && !(log_empty && log_started) -> running = true
    fi
}

/* node_member_join: a learner first, then in the place of an earlier one of the address. */
inline join()
{
    if
    :: learner == id ->
#ifdef BUG_NO_VICTIM
        voters = voters | BIT(id);
#else
        voters = BIT(id);
#endif
        learner = NOBODY;
        printf("id %d is a voter now\n", id)
    :: else -> learner = id; printf("id %d is a learner now\n", id)
    fi;
    x_count = 0;
    for (x_i : 1 .. IDS) { x_count = x_count + ((voters >> x_i) & 1) }
    one_place = x_count <= 1;
    assert(one_place)
}

/* What starts needs an id only where it begins anew. */
#define ID_LEFT (next_id <= IDS)
proctype Node()
{
end:
    do
    :: d_step { CAN_VOTE(1, 1) -> vote(1, 1) }
    :: d_step { CAN_VOTE(1, 2) -> vote(1, 2) }
    :: d_step { CAN_VOTE(2, 1) -> vote(2, 1) }
    :: d_step { CAN_VOTE(2, 2) -> vote(2, 2) }
    :: d_step { running && id != 0 && !(voters & BIT(id)) -> join(); skip }
    :: d_step { running -> running = false; printf("the node stops\n") }
    :: d_step { !running && (ID_LEFT || (id != 0 && !damaged && !log_empty)) -> start(); skip }
    od
}

proctype Harm()
{
end:
    do
    :: d_step { !running && id != 0 ->
           id = 0; log_started = false; log_empty = true; damaged = false; seen = 0; voted = 0;
           printf("the directory is lost\n") }
    :: d_step { !running && id != 0 && !log_empty ->
           log_empty = true; damaged = false; seen = 0; voted = 0; printf("the log is lost\n") }
    :: d_step { !running && id != 0 && !log_empty && !damaged ->
           seen = 0; voted = 0; printf("the log is damaged, the vote lost\n");
#ifndef BUG_SAME_ID
           damaged = true
#endif
       }
    od
}

init
{
    atomic {
        log_empty = true;
        run Node();
        run Harm()
    }
}
