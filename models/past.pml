/* past.pml - a replica that forgot is told so by those who heard it: RECORDS and FORGOT.
 *
 * Mirrors src/node/node_past.c (say, hear, kept, contradicts, node_past_boot, node_past_save) and
 * docs/protocol/storage.md. Which part mirrors which function: docs/howto/models.md.
 *
 * Three replicas. L leads and has an entry; F stores it, and with F's word it is acknowledged to
 * a client. P has not got it. F's disk loses its end: the newest batch, or everything since an old
 * image was taken. Then F's vote and P's make a leader that knows nothing of the entry.
 *
 * Properties
 *   kept_word    no such leader, if P has heard of F what the entry made of it, or L has and F can
 *                reach it; heard and still knows, over restarts of its own
 *   never_wrong  who lost nothing is not told that it forgot
 *
 * Abstractions, and why they hide no error
 *   One group. Terms and logs are left out: F votes for P, or P for F, as soon as nothing but
 *   this protocol forbids it, which is more often than elections come.
 *   L does not restart: what it then knows is what P, which does, shows of both.
 *   A link comes up with F's first word and its judgement in one step; words of a link come in
 *   order, so nothing of F is heard before it. What F is told comes later, or not at all.
 *   The time that F lets pass before its first vote is not measured: it is over when L, if it
 *   is not cut off, has spoken, and been heard if it had something to say. P must have spoken
 *   before F hears of its vote or gives it one: words of a link come in order.
 *   An old image is a lost end: the log begins as it began. A directory is harmed once.
 *   F under its next id has no vote and nothing behind it: that is identity.pml's matter.
 *
 * Limit, run deep-twice: what is lost reaches back before the start of the run in which F was
 * heard of, so that its list of starts does not name that run; F starts, writes records of its own
 * and starts again, all before it meets a peer that knows. Then it is judged by its last start.
 *
 * Bounds: RUNS starts of F, RECS records.
 *
 * Measured on a busy machine of two cores, states and seconds: suffix 365155, 2.9; image 156845,
 * 1.2. At most 150 MiB. Each planted bug is found within five seconds.
 *
 * Found: start-unsaved was the product. The start of a run was logged when something made the
 * group write its blob, not with the run's first record.
 *
 * runs
 *   holds suffix        -DRUNS=3
 *   holds image         -DRUNS=2 -DDEEP
 *   fails deep-twice    -DRUNS=3 -DDEEP      the limit above
 *   fails present       -DRUNS=3 -DBUG_PRESENT    judged by what it has by now
 *   fails last-start    -DRUNS=3 -DBUG_LAST_START judged by its last start alone
 *   fails start-unsaved -DRUNS=3 -DBUG_UNSAVED    a start is not logged with its run's records
 *   fails no-wait       -DRUNS=3 -DBUG_NO_WAIT    it votes before all have spoken
 *   fails not-void      -DRUNS=3 -DBUG_NOT_VOID   it is told, and listened to all the same
 *   fails unsaid        -DRUNS=3 -DBUG_UNSAID     the first word says nothing of records
 *   fails ungated       -DRUNS=3 -DBUG_UNGATED    a number is said before it is durable
 */
#define RECS 3
#define L 0
#define P 1
#define PEERS 2

/* F's directory: so many records, the entry among them or not; where each run's start stands. */
byte rec;
bool has_entry;
byte start_of[RUNS + 1];
byte saved_at[RUNS + 1]; /* the record that names the start of the run; 0: none does */
bool harmed;

/* F's process. */
bool running;
byte life;
bool voter = true;       /* under the id that all knew */

/* The peers: what they know of F; how much of that a restart of theirs leaves. */
byte heard[PEERS], heard_run[PEERS];
bool forgot[PEERS];
bool up[PEERS];
byte kept_heard, kept_run; /* of P */
bool cut;                  /* L and F do not reach each other */

bool acked;              /* ghost: the client was told */
byte acked_at;           /* the records that F then said */
bool knows[PEERS], kept_knows; /* ghost: heard so much, when it was the entry */

hidden byte x_i, x_kept, x_said;
hidden byte kept_word, never_wrong;

/* A record of the group. The first of a run is written with a blob that names the start. */
inline write(checkpoint)
{
    rec++;
#ifdef BUG_UNSAVED
    if
    :: checkpoint && saved_at[life] == 0 -> saved_at[life] = rec
    :: else
    fi
#else
    if
    :: saved_at[life] == 0 -> saved_at[life] = rec
    :: else
    fi
#endif
}

/* remember() */
inline remember(k, n)
{
    if
    :: n > heard[k] -> heard[k] = n
    :: else
    fi;
    heard_run[k] = life;
    knows[k] = knows[k] || (has_entry && n >= acked_at)
}

/* kept(): what F still had after the run in which k had heard of it. */
inline judge(k)
{
    x_kept = start_of[life];
#ifdef BUG_PRESENT
    x_kept = rec;
#endif
    if
    :: heard_run[k] == 0 || heard_run[k] == life -> x_kept = rec
#if !defined(BUG_PRESENT) && !defined(BUG_LAST_START)
    :: heard_run[k] != 0 && heard_run[k] != life && saved_at[heard_run[k]] != 0 ->
        x_i = heard_run[k] + 1;
        do
        :: x_i < life && saved_at[x_i] == 0 -> x_i++
        :: else -> break
        od;
        x_kept = start_of[x_i]
#endif
    :: else
    fi
}

/* A link comes up: hear(), with the first word of the connection. */
inline link_up(k)
{
    up[k] = true;
    judge(k);
    if
    :: forgot[k] || x_kept < heard[k] ->
#ifdef BUG_UNSAID
        remember(k, rec);
#else
        printf("peer %d (0: L, 1: P) heard %d of run %d, and F has kept %d\n", k, heard[k],
               heard_run[k], x_kept);
        never_wrong = harmed;
        assert(never_wrong);
        forgot[k] = true
#endif
    :: else ->
        printf("peer %d (0: L, 1: P) hears of run %d: %d records\n", k, life, rec);
        remember(k, rec)
    fi
}

inline links_down()
{
    up[L] = false;
    up[P] = false
}

inline stop()
{
    running = false;
    links_down();
    printf("F stops\n")
}

inline start()
{
    life++;
    running = true;
    start_of[life] = rec;
    saved_at[life] = 0;
    printf("F starts, run %d, with %d records\n", life, rec)
}

/* All from record x_said + 1 on is lost. */
inline lose()
{
    harmed = true;
    rec = x_said;
    has_entry = has_entry && acked_at <= rec;
    for (x_i : 1 .. RUNS) {
        if
        :: saved_at[x_i] > rec -> saved_at[x_i] = 0
        :: else
        fi
    }
    printf("F's disk goes back to %d records\n", rec)
}

#ifdef DEEP
#define REACHES(r) true
#else
/* Not so far back that the start of the newest run is lost which wrote anything. */
#define REACHES(r) (saved_at[life] != 0 && (r) >= saved_at[life])
#endif

/* L has spoken before F votes or asks for votes, if it can, and F has heard it. */
#ifdef BUG_NO_WAIT
#define SPOKEN true
#else
#define SPOKEN (cut || (up[L] && !forgot[L]))
#endif
#ifdef BUG_NOT_VOID
#define LISTENS(k) true
#else
#define LISTENS(k) (!forgot[k])
#endif
#define ROOM (rec < RECS)
#define CHANGED (heard[P] != kept_heard || heard_run[P] != kept_run)

inline told()
{
    voter = false;
    has_entry = false;
    links_down();
    printf("F is told that it forgot\n")
}

proctype Records()
{
end:
    do
    /* F stores the entry; L hears that it did, and tells the client. The ends of the two are
     * apart, as its write and its acknowledgement are. */
    :: d_step { running && voter && up[L] && !has_entry && !acked && !harmed && ROOM ->
           has_entry = true; write(false); acked_at = rec;
           printf("F stores the entry as record %d\n", rec) }
    :: d_step { running && voter && up[L] && has_entry && !acked && !harmed ->
           acked = true; remember(L, rec); printf("L acknowledges the entry to its client\n") }
    /* Other records: of what it is sent, and of its own. */
    :: d_step { running && voter && (up[L] || up[P]) && ROOM ->
           write(false); printf("F writes record %d\n", rec) }
    :: d_step { running && voter && ROOM ->
           write(true); printf("F writes a checkpoint, record %d\n", rec) }
    /* Growth is told. */
    :: d_step { running && voter && up[L] && !forgot[L] && heard[L] < rec -> remember(L, rec) }
    :: d_step { running && voter && up[P] && !forgot[P] && heard[P] < rec ->
           remember(P, rec); printf("P hears of %d records\n", rec) }
#ifdef BUG_UNGATED
    :: d_step { running && voter && up[P] && !forgot[P] && ROOM -> remember(P, rec + 1) }
#endif
    od
}

proctype Life()
{
end:
    do
    :: d_step { !running && voter && life < RUNS -> start() }
    :: d_step { running -> stop() }
    :: d_step { !running && !harmed && REACHES(0) && rec > 0 -> x_said = 0; lose() }
    :: d_step { !running && !harmed && rec > 1 && REACHES(1) -> x_said = 1; lose() }
    :: d_step { !running && !harmed && rec > 2 && REACHES(2) -> x_said = 2; lose() }
    :: d_step { !running && !harmed && rec > 3 && REACHES(3) -> x_said = 3; lose() }
    od
}

proctype Links()
{
end:
    do
    :: d_step { running && voter && !up[L] && !cut -> link_up(L) }
    :: d_step { running && voter && !up[P] -> link_up(P) }
    :: d_step { up[L] -> up[L] = false }
    :: d_step { up[P] -> up[P] = false }
    :: d_step { !cut -> cut = true; up[L] = false; printf("L is cut off\n") }
    :: d_step { cut -> cut = false; printf("L is there again\n") }
    /* FORGOT: F gives the id up. */
    :: d_step { running && voter && up[L] && forgot[L] -> told() }
    :: d_step { running && voter && up[P] && forgot[P] -> told() }
    od
}

/* node_past_save, and a restart of P. */
proctype Memory()
{
end:
    do
    :: d_step { CHANGED -> kept_heard = heard[P]; kept_run = heard_run[P]; kept_knows = knows[P] }
    :: d_step { CHANGED || forgot[P] ->
           heard[P] = kept_heard; heard_run[P] = kept_run; knows[P] = kept_knows;
           forgot[P] = false; up[P] = false;
           printf("P starts anew and knows of %d records\n", kept_heard) }
    od
}

/* F's vote and P's are a majority. Neither gives it to who has less. */
proctype Election()
{
end:
    do
    :: d_step { acked && running && voter && !has_entry && up[P] && LISTENS(P) && SPOKEN ->
           printf("F and P elect one of them; L cut off: %d\n", cut);
           kept_word = !knows[P] && (!knows[L] || cut);
           assert(kept_word) }
    od
}

init
{
    atomic {
        run Records();
        run Life();
        run Links();
        run Memory();
        run Election()
    }
}
