/* wal.pml - the log of one worker: what recovery may cut, and what it must notice.
 *
 * Mirrors src/wal/wal_recover.c (proof, read_batches, on_record, on_state, judge),
 * wal.c (roll, issue, batch_done), wal_house.c (recycling), and node_boot.c (a damaged group
 * is reset). Which part mirrors which function: docs/howto/models.md.
 *
 * Properties, at each recovery
 *   not_lost     a record that was synced and acknowledged is read back, or covered by a
 *                snapshot, or its group is told that it is damaged
 *   not_revived  once a batch is synced after a recovery, nothing that it did not read is read
 *                later; nor is anything of a segment's former life
 * A record that was never acknowledged may vanish or be read.
 *
 * Abstractions, and why they hide no error
 *   Bytes: a batch is whole, has a bad body, or a bad header. Checksums do not lie.
 *   A record is one entry: the other kinds are replaced as a whole by a later state record.
 *   A group's records have the numbers 1, 2, ... as its entries have their indexes; no tail
 *   is overwritten (that is Raft's matter, and only makes fewer entries missed).
 *   A reset begins the numbers of entries anew; here the group's earlier records are simply
 *   not missed any more.
 *   A crash leaves any part of the one batch in flight. Rot is one place, at any time.
 *   Missing and short files are left out, as is everything about full disks.
 *
 * Limit of the format: rot of the very last batch, with nothing after it, looks like a torn
 * write (docs/format/wal.md). Other parts of the product notice that; here it does not rot.
 *
 * Bounds: two groups, FILES files of two batches each, BATCHES batches ever, two crashes.
 *
 *
 * Not among the planted bugs, since something else catches them within these bounds: a batch
 * that does not name its segment (sequences only grow), a segment recycled before a snapshot
 * covers it (the next one's state record shows the gap), a state record that does not repeat the
 * damage (the first batch after a recovery also resets the group).
 *
 * Measured on a busy machine of two cores, states and seconds: log 78453, 2.4. At most 127 MiB.
 * Each planted bug is found within a second.
 *
 * runs
 *   holds log            -DBATCHES=6
 *   fails cut-always     -DBUG_CUT_ALWAYS     the first bad batch ends the log
 *   fails no-limit       -DBUG_NO_LIMIT       a new segment does not void what was cut
 *   fails no-numbers     -DBUG_NO_NUMBERS     a gap in a group's records is not looked for
 *   fails group-blind    -DBUG_GROUP_BLIND    a group without a record after the rot is sound
 *   fails early-ack      -DBUG_EARLY_ACK      acknowledged before it is synced
 */
#ifndef BATCHES
#define BATCHES 5
#endif
#define FILES 2
#define SLOTS 2
#define GROUPS 2
#ifndef CRASHES
#define CRASHES 2
#endif
#define NUMBERS 6 /* of segments ever; more than BATCHES: one may stay unused */

/* What a batch was when it was written, by its identity: 1 and up. */
#define ID(id) ((id) - 1)
byte sequence[BATCHES], segment[BATCHES];
byte groups[BATCHES];  /* the groups with a record in it, as bits */
byte resets[BATCHES];  /* the groups that it resets */
byte number[BATCHES * GROUPS]; /* of the group's last record, this batch included */
byte snaps[BATCHES * GROUPS];  /* its snapshot covers the records up to this one */
bool states[BATCHES];  /* it begins with a state record of every group: as before it */
byte st_number[BATCHES * GROUPS];
byte st_snap[BATCHES * GROUPS];
byte st_damaged[BATCHES];
bool acked[BATCHES];   /* ghost: somebody was told */
bool cut[BATCHES];     /* ghost: the last recovery did not read it */
bool dead[BATCHES];    /* ghost: cut for good, or its segment was recycled */
#define OF(a, id, g) a[ID(id) * GROUPS + (g)]

/* The platter. */
#define BAD 0      /* nothing can be made of it */
#define BAD_BODY 1 /* the batch's header is whole */
#define WHOLE 2
#define HIDDEN 3   /* whole, but the device cannot read it until the next crash */
#define ABSENT 9   /* nothing of it was written */
byte name[FILES];            /* the segment's number; 0: no file */
byte slot[FILES * SLOTS];    /* which batch; 0: zeros */
byte shape[FILES * SLOTS];
byte head[FILES];            /* the batch that the file's header was written with */
bool head_whole[FILES];
#define SLOT(f, s) slot[(f) * SLOTS + (s)]
#define SHAPE(f, s) shape[(f) * SLOTS + (s)]

#define OF_SEGMENT(id, f) (segment[ID(id)] == name[f])
#define HEADER_OWN(f) (head[f] != 0 && head_whole[f] && segment[ID(head[f])] == name[f])

/* The running log. */
#define NO_FILE FILES
bool up = true;
byte current = NO_FILE, used;
bool started; /* the current segment's first batch is synced */
bool spare;   /* the file with the highest name is not in use yet */
byte flight;  /* the batch being written */
byte flight_slot;
byte next_sequence = 1, next_id = 1, next_name = 1;
byte count[GROUPS];   /* records written */
byte snap[GROUPS];    /* covered by a snapshot, and snap_durable as the log has it */
byte snap_durable[GROUPS];
byte damaged;         /* groups that recovery condemned, and that no synced reset saved */
byte to_reset;
byte crashes;
bool rotten;

hidden byte x_i, x_f, x_s, x_g, x_n, x_id, x_expected, x_limit, x_places, x_used, x_free;
hidden byte x_taken[BATCHES], x_count[GROUPS], x_lost[GROUPS], x_need[GROUPS], x_snap[GROUPS];
hidden byte x_checked[GROUPS], x_condemned, x_reset[GROUPS], x_yes, not_lost, not_revived;

/* --- writing --- */

#define FREE_FILE (spare || name[0] == 0 || name[1] == 0)
#define CAN_WRITE (up && next_id <= BATCHES && ((current != NO_FILE && used < SLOTS) || FREE_FILE))

/* roll: the highest file is the next one, or there is none yet */
inline roll(id)
{
    for (x_f : 0 .. FILES - 1) {
        if
        :: !spare && name[x_f] == 0 -> name[x_f] = next_name; next_name++; spare = true
        :: else
        fi
    }
    for (x_f : 0 .. FILES - 1) {
        if :: name[x_f] == next_name - 1 -> current = x_f :: else fi
    }
    spare = false;
    used = 0;
    started = false;
    states[ID(id)] = true;
    for (x_g : 0 .. GROUPS - 1) {
        OF(st_number, id, x_g) = count[x_g];
        OF(st_snap, id, x_g) = snap[x_g]
    }
    st_damaged[ID(id)] = damaged
}

/* A batch begins to be written: `flight`. With `snapshot` it says that all records before it
 * are covered. */
inline write(mask, snapshot)
{
    x_id = next_id;
    next_id++;
    if
    :: current == NO_FILE || used == SLOTS -> roll(x_id)
    :: else
    fi;
    groups[ID(x_id)] = mask | to_reset;
    resets[ID(x_id)] = to_reset;
    to_reset = 0;
    for (x_g : 0 .. GROUPS - 1) {
        if :: snapshot -> snap[x_g] = count[x_g] :: else fi;
        if :: groups[ID(x_id)] & (1 << x_g) -> count[x_g]++ :: else fi;
        OF(number, x_id, x_g) = count[x_g];
        OF(snaps, x_id, x_g) = snap[x_g]
    }
    sequence[ID(x_id)] = next_sequence;
    segment[ID(x_id)] = name[current];
    next_sequence++;
    flight = x_id;
    flight_slot = used;
    used++;
#ifdef BUG_EARLY_ACK
    acked[ID(x_id)] = true;
#endif
    printf("batch %d: sequence %d, segment %d, groups %d, resets %d, snapshot %d\n", x_id,
           sequence[ID(x_id)], name[current], groups[ID(x_id)], resets[ID(x_id)], snapshot)
}

/* The file's header is written with its first batch. */
inline place(whole)
{
    if
    :: flight_slot == 0 -> head[current] = flight; head_whole[current] = whole
    :: else
    fi
}

inline synced()
{
    printf("batch %d is synced\n", flight);
    place(true);
    SLOT(current, flight_slot) = flight;
    SHAPE(current, flight_slot) = WHOLE;
    acked[ID(flight)] = true;
    started = true;
    damaged = damaged & ~resets[ID(flight)];
    for (x_i : 1 .. next_id - 1) {
        dead[ID(x_i)] = dead[ID(x_i)] || cut[ID(x_i)]
    }
    for (x_g : 0 .. GROUPS - 1) {
        snap_durable[x_g] = OF(snaps, flight, x_g)
    }
    flight = 0
}

/* The oldest segment in use, if it may go: its entries are covered and the next one begins
 * with every group's state, synced. */
inline recycle()
{
    x_f = NO_FILE;
    for (x_i : 0 .. FILES - 1) {
        if
        :: name[x_i] != 0 && x_i != current &&
               (x_f == NO_FILE || name[x_i] < name[x_f]) -> x_f = x_i
        :: else
        fi
    }
    x_n = x_f != NO_FILE && current != NO_FILE && started && name[x_f] < name[current];
    for (x_s : 0 .. SLOTS - 1) {
        for (x_g : 0 .. GROUPS - 1) {
            if
            :: x_n && SLOT(x_f, x_s) != 0 && segment[ID(SLOT(x_f, x_s))] == name[x_f] &&
               !dead[ID(SLOT(x_f, x_s))] ->
                x_n = OF(number, SLOT(x_f, x_s), x_g) <= snap_durable[x_g]
            :: else
            fi
        }
    }
    if
    :: x_n ->
        for (x_s : 0 .. SLOTS - 1) {
            if :: SLOT(x_f, x_s) != 0 -> dead[ID(SLOT(x_f, x_s))] = true :: else fi
        }
        name[x_f] = next_name;
        next_name++;
        spare = true;
        printf("segment recycled as %d\n", name[x_f])
    :: else
    fi
}

/* --- crash, rot --- */

inline crash(body, header)
{
    printf("crash; batch in flight: %d, left of it: %d, of its segment's header: %d\n", flight,
           body, header);
    for (x_i : 0 .. FILES * SLOTS - 1) {
        if :: shape[x_i] == HIDDEN -> shape[x_i] = WHOLE :: else fi
    }
    if
    :: flight != 0 && header != ABSENT -> place(header == WHOLE)
    :: else
    fi;
    if
    :: flight != 0 && body != ABSENT ->
        SLOT(current, flight_slot) = flight;
        SHAPE(current, flight_slot) = body
    :: else
    fi;
    up = false;
    current = NO_FILE;
    used = 0;
    flight_slot = 0;
    started = false;
    flight = 0;
    to_reset = 0;
    crashes++
}

/* A batch that was synced, and another one after it: see "limit". */
inline rot(f, s, as)
{
    x_n = SLOT(f, s) != 0 && SHAPE(f, s) == WHOLE;
    x_n = x_n && acked[ID(SLOT(f, s))] && !dead[ID(SLOT(f, s))] && OF_SEGMENT(SLOT(f, s), f);
    x_yes = false;
    for (x_i : 1 .. next_id - 1) {
        x_yes = x_yes || (x_n && acked[ID(x_i)] && !dead[ID(x_i)] && x_i > SLOT(f, s))
    }
    if
    :: x_n && x_yes ->
        SHAPE(f, s) = as;
        rotten = true;
        printf("batch %d rots\n", SLOT(f, s))
    :: else
    fi
}

/* --- recovery --- */

inline proof(seq)
{
    if
    :: x_expected == 0 -> x_expected = seq
    :: x_expected != 0 && seq > x_expected ->
#ifndef BUG_CUT_ALWAYS
        x_places++;
#endif
        x_expected = seq
    :: else
    fi
}

inline take(id)
{
    printf("read: batch %d\n", id);
    not_revived = !dead[ID(id)];
    assert(not_revived);
    x_taken[ID(id)] = true;
    x_expected = sequence[ID(id)] + 1;
    for (x_g : 0 .. GROUPS - 1) {
        if
        :: states[ID(id)] && OF(st_number, id, x_g) > 0 -> /* on_state */
            x_checked[x_g] = x_places;
            if
            :: st_damaged[ID(id)] & (1 << x_g) -> x_condemned = x_condemned | (1 << x_g)
            :: else
            fi;
#ifndef BUG_NO_NUMBERS
            if
            :: x_count[x_g] != OF(st_number, id, x_g) || x_lost[x_g] ->
                x_lost[x_g] = false;
                x_need[x_g] = OF(st_number, id, x_g)
            :: else
            fi;
#endif
            x_count[x_g] = OF(st_number, id, x_g);
            x_snap[x_g] = OF(st_snap, id, x_g)
        :: else
        fi;
        if
        :: groups[ID(id)] & (1 << x_g) -> /* on_record */
            x_checked[x_g] = x_places;
#ifndef BUG_NO_NUMBERS
            if :: OF(number, id, x_g) != x_count[x_g] + 1 -> x_lost[x_g] = true :: else fi;
#endif
            x_count[x_g] = OF(number, id, x_g)
        :: else
        fi;
        if :: OF(snaps, id, x_g) > x_snap[x_g] -> x_snap[x_g] = OF(snaps, id, x_g) :: else fi;
        if
        :: resets[ID(id)] & (1 << x_g) ->
            x_lost[x_g] = false;
            x_need[x_g] = 0;
            x_condemned = x_condemned & ~(1 << x_g);
            x_reset[x_g] = id
        :: else
        fi
    }
}

#define READS(f, s) (SHAPE(f, s) == BAD_BODY || SHAPE(f, s) == WHOLE)
inline read_slot(f, s)
{
    x_id = SLOT(f, s);
    if
    :: x_id == 0 || !READS(f, s) || !OF_SEGMENT(x_id, f)
    :: x_id != 0 && READS(f, s) && OF_SEGMENT(x_id, f) ->
        if
        :: sequence[ID(x_id)] >= x_limit || sequence[ID(x_id)] < x_expected /* cut before */
        :: sequence[ID(x_id)] < x_limit && sequence[ID(x_id)] >= x_expected ->
            proof(sequence[ID(x_id)]);
            if
            :: SHAPE(f, s) == WHOLE ->
                if :: !(x_used & (1 << f)) -> x_places++ :: else fi;
                x_used = x_used | (1 << f);
                take(x_id)
            :: else
            fi
        fi
    fi
}

inline recover()
{
    printf("recovery\n");
    x_expected = 0;
    x_places = 0;
    x_used = 0;
    x_condemned = 0;
    for (x_i : 0 .. BATCHES - 1) { x_taken[x_i] = false }
    for (x_g : 0 .. GROUPS - 1) {
        x_count[x_g] = 0;
        x_lost[x_g] = false;
        x_need[x_g] = 0;
        x_snap[x_g] = 0;
        x_checked[x_g] = 0;
        x_reset[x_g] = 0
    }
    for (x_n : 1 .. next_name - 1) {
        for (x_f : 0 .. FILES - 1) {
            if
            :: name[x_f] == x_n ->
                x_limit = 255;
#ifndef BUG_NO_LIMIT
                for (x_i : 0 .. FILES - 1) {
                    if
                    :: name[x_i] > x_n && HEADER_OWN(x_i) && sequence[ID(head[x_i])] < x_limit ->
                        x_limit = sequence[ID(head[x_i])]
                    :: else
                    fi
                }
#endif
                if
                :: HEADER_OWN(x_f) ->
                    x_used = x_used | (1 << x_f);
                    proof(sequence[ID(head[x_f])])
                :: else
                fi;
                read_slot(x_f, 0);
                read_slot(x_f, 1)
            :: else
            fi
        }
    }
    /* judge */
    damaged = x_condemned;
    for (x_g : 0 .. GROUPS - 1) {
        if
#ifdef BUG_GROUP_BLIND
        :: x_lost[x_g] || x_need[x_g] > x_snap[x_g] -> damaged = damaged | (1 << x_g)
#else
        :: x_lost[x_g] || x_need[x_g] > x_snap[x_g] || x_checked[x_g] < x_places ->
            damaged = damaged | (1 << x_g)
#endif
        :: else
        fi
    }
    printf("read up to sequence %d, places of damage: %d, groups damaged: %d\n", x_expected,
           x_places, damaged);
    for (x_id : 1 .. next_id - 1) {
        for (x_g : 0 .. GROUPS - 1) {
            not_lost = x_taken[ID(x_id)] || !acked[ID(x_id)] || !(groups[ID(x_id)] & (1 << x_g)) ||
                       x_reset[x_g] > x_id || OF(number, x_id, x_g) <= x_snap[x_g] ||
                       (damaged & (1 << x_g)) != 0;
            if
            :: !not_lost -> printf("batch %d, group %d\n", x_id, x_g)
            :: else
            fi;
            assert(not_lost)
        }
    }
    /* and the log goes on */
    for (x_id : 1 .. next_id - 1) {
        cut[ID(x_id)] = !x_taken[ID(x_id)]
    }
    for (x_g : 0 .. GROUPS - 1) {
        count[x_g] = x_count[x_g];
        snap[x_g] = x_snap[x_g];
        snap_durable[x_g] = x_snap[x_g]
    }
    next_sequence = (x_expected == 0 -> 1 : x_expected);
    to_reset = damaged;
    spare = false;
    for (x_f : 0 .. FILES - 1) {
        if
        :: name[x_f] != 0 && name[x_f] == next_name - 1 && !(x_used & (1 << x_f)) &&
           (head[x_f] == 0 || head_whole[x_f]) -> spare = true
        :: else
        fi
    }
    up = true
}

/* What a crash leaves of the batch in flight, and of the header written with it. */
#define CRASHES_WITH(mask, snapshot, body, header)                                                 \
    CAN_WRITE && crashes < CRASHES -> write(mask, snapshot); crash(body, header); skip
proctype Log()
{
end:
    do
    :: d_step { CAN_WRITE -> write(1, false); synced(); skip }
    :: d_step { CAN_WRITE -> write(2, false); synced(); skip }
    :: d_step { CAN_WRITE -> write(3, false); synced(); skip }
    :: d_step { CAN_WRITE && used == SLOTS -> write(1, true); synced(); skip }
    :: d_step { up && !spare && next_name <= NUMBERS && current != NO_FILE -> recycle(); skip }
    :: d_step { !up -> recover(); skip }
    od
}

proctype Faults()
{
end:
    do
    :: d_step { up && crashes < CRASHES -> crash(ABSENT, ABSENT); skip }
    :: d_step { CRASHES_WITH(3, false, ABSENT, WHOLE) }
    :: d_step { CRASHES_WITH(3, false, BAD, ABSENT) }
    :: d_step { CRASHES_WITH(3, false, BAD, BAD) }
    :: d_step { CRASHES_WITH(3, false, BAD_BODY, WHOLE) }
    :: d_step { CRASHES_WITH(3, false, WHOLE, WHOLE) }
    :: d_step { CRASHES_WITH(3, false, HIDDEN, WHOLE) }
    :: d_step { CAN_WRITE && crashes < CRASHES && used == SLOTS ->
           write(3, true); crash(BAD_BODY, WHOLE); skip }
    :: d_step { !up && !rotten -> rot(0, 0, BAD); skip }
    :: d_step { !up && !rotten -> rot(0, 1, BAD); skip }
    :: d_step { !up && !rotten -> rot(1, 0, BAD); skip }
    :: d_step { !up && !rotten -> rot(1, 1, BAD); skip }
    :: d_step { !up && !rotten -> rot(0, 0, BAD_BODY); skip }
    :: d_step { !up && !rotten -> rot(0, 1, BAD_BODY); skip }
    od
}

init
{
    atomic {
        run Log();
        run Faults()
    }
}

