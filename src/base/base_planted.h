/* base_planted.h - bugs put into the product on purpose, to prove that the simulator finds them.
 *
 * PLANTED(NAME) stands at the line where somebody might have written the bug. Only builds made
 * for it know any (meson -Dplanted=true; `./dev sim bugs`): there it is true while that one bug is
 * chosen. In all others it is the constant false, the code behind it vanishes, and the binary
 * has no trace of it. Most are bugs that other systems had; docs/howto/sim.md says which.
 * tools/bugs.py hunts them: in the simulator, or, for some rooms, with the room's own
 * random test; its ROOM_TESTS says which rooms those are.
 */
#ifndef BASE_PLANTED_H
#define BASE_PLANTED_H

#define PLANTED_ALL(X)                                                                             \
    X(FIGURE8, "figure8", "raft", "commits entries of older terms by counting [R s5.4.2]")         \
    X(LEASE_FOREVER, "lease-forever", "raft", "a lease never ends")                                \
    X(OLD_LOG_VOTE, "old-log-vote", "raft", "votes for candidates with older logs [R s5.4.1]")     \
    X(VOTE_TWICE, "vote-twice", "raft", "votes again in a term in which it has voted")             \
    X(LOG_UNMATCHED, "log-unmatched", "raft",                                                      \
      "takes entries without a look at the one before them [R s5.3]")                              \
    X(ACK_UNMATCHED, "ack-unmatched", "raft",                                                      \
      "acknowledges its whole log, matched by the leader or not")                                  \
    X(COMMIT_UNMATCHED, "commit-unmatched", "raft",                                                \
      "a follower commits what no append has matched")                                             \
    X(LEARNER_COUNTS, "learner-counts", "raft", "a learner's acknowledgement counts")              \
    X(READ_UNCONFIRMED, "read-unconfirmed", "raft", "a read waits for no round and no lease")      \
    X(READ_BEFORE_NOOP, "read-before-noop", "raft",                                                \
      "a new leader reads before its term has committed anything [D 6.4]")                         \
    X(READ_UNAPPLIED, "read-unapplied", "raft",                                                    \
      "a lease read does not wait for what is committed")                                          \
    X(TRANSFER_KEEPS_LEASE, "transfer-keeps-lease", "raft",                                        \
      "a leader that hands over goes on reading under its lease")                                  \
    X(RESTART_VOTES, "restart-votes", "raft",                                                      \
      "votes right after a restart, though a leader may hold a lease")                             \
    X(ACK_UNGATED, "ack-ungated", "raft", "acknowledges entries before they are durable")          \
    X(SYNC_SKIPPED, "sync-skipped", "wal", "one batch of eight is written without fsync")          \
    X(CHECKSUM_IGNORED, "checksum-ignored", "wal",                                                 \
      "recovery believes a batch without its checksum")                                            \
    X(OLD_BATCHES, "old-batches", "wal", "a recycled segment's old batches are read back")         \
    X(HARD_UNWRITTEN, "hard-unwritten", "wal",                                                     \
      "a vote and its term are written as they were before")                                       \
    X(VOTE_UNWRITTEN, "vote-unwritten", "wal", "the term is written, the vote is not")             \
    X(STATES_LEFT_OUT, "states-left-out", "wal",                                                   \
      "a new segment begins without the terms and votes of the groups")                            \
    X(RECYCLED_EARLY, "recycled-early", "wal",                                                     \
      "a segment is reused before what replaces it is durable")                                    \
    X(DAMAGE_CUT, "damage-cut", "wal", "damage before the tail is cut off like a torn tail")       \
    X(SNAP_MISSES_CHANGE, "snap-misses-change", "store",                                           \
      "a snapshot misses items that change while it is written")                                   \
    X(SNAP_MISSES_FIELD, "snap-misses-field", "store",                                             \
      "a snapshot misses fields of a large hash that change meanwhile")                            \
    X(DIGEST_LEFT_OUT, "digest-left-out", "store",                                                 \
      "appending to a long string leaves its digest as it was")                                    \
    X(APPLY_SKIPPED, "apply-skipped", "node",                                                      \
      "one node forgets a command of sixty-four that it only follows")                             \
    X(OWN_CLOCK, "own-clock", "node", "each replica applies commands at its own time")             \
    X(DOUBT_AS_FAILED, "doubt-as-failed", "node",                                                  \
      "a write that no majority confirmed in time is said not to have happened")                   \
    X(RESENT_IN_DOUBT, "resent-in-doubt", "node",                                                  \
      "a forwarded write is sent again when its connection breaks")                                \
    X(TRUNCATED_FAILS, "truncated-fails", "node",                                                  \
      "a write whose entry was replaced here is said not to have happened")                        \
    X(INDEX_BEHIND, "index-behind", "node", "a snapshot names an index before its content")        \
    X(SNAP_NAMED_EARLY, "snap-named-early", "node",                                                \
      "the log forgets what a snapshot covers before that is durable")                             \
    X(REPLY_BY_NODE, "reply-by-node", "node",                                                      \
      "a forwarded request is answered on whatever connection its node has now")                   \
    X(ORDER_IGNORED, "order-ignored", "node",                                                      \
      "what came back is sent again after its client's later commands")                            \
    X(DAMAGED_VOTES, "damaged-votes", "node",                                                      \
      "a replica that lost its log goes on under its old identity")                                \
    X(DROPPED_EARLY, "dropped-early", "node",                                                      \
      "a replica goes as soon as the map does not place it")                                       \
    X(OUT_UNCOMMITTED, "out-uncommitted", "node",                                                  \
      "a replica is told that it is out before that is committed")                                 \
    X(JOINED_EARLY, "joined-early", "node", "a joiner votes before it is caught up")               \
    X(OLD_COMPLETION, "old-completion", "node",                                                    \
      "a disk write of a snapshot given up vouches for the next one")                              \
    X(HALF_FRAME_KEPT, "half-frame-kept", "node",                                                  \
      "half a frame of an old connection is put before a new one's bytes")                         \
    X(INCARNATION_FORGOTTEN, "incarnation-forgotten", "node",                                      \
      "a restart begins below what the node said of itself before")                                \
    X(VIEWS_UNCOMPARED, "views-uncompared", "node", "a link that comes up compares no views")      \
    X(TIME_FORGOTTEN, "time-forgotten", "node", "a new leader stamps earlier than its log")        \
    X(REJECT_LOST, "reject-lost", "wire", "a refused append arrives as an accepted one")           \
    X(ENTRY_TERMS, "entry-terms", "wire", "entries arrive with the term of their message")         \
    X(FRAME_16_BITS, "frame-16-bits", "wire", "sixteen bits of a frame's length are read")         \
    X(AFTER_WRITES_LOST, "after-writes-lost", "wire",                                              \
      "a forwarded read does not wait for its client's writes before it")                          \
    X(SWIM_REVIVES, "swim-revives", "swim", "an old record of a life revives the dead")            \
    X(SWIM_NO_REFUTE, "swim-no-refute", "swim", "a suspicion of oneself is not denied")            \
    X(SWIM_STARVES, "swim-starves", "swim", "who is probed next is drawn from all")                \
    X(SWIM_ECHO_CONFIRMS, "swim-echo-confirms", "swim",                                            \
      "the same accuser heard again confirms a suspicion")                                         \
    X(SWIM_NO_BUDDY, "swim-no-buddy", "swim", "a suspect is not told first that it is one")        \
    X(SWIM_SPEAKS_EARLY, "swim-speaks-early", "swim",                                              \
      "an incarnation is spoken before its limit is durable")                                      \
    X(SWIM_PACKET_PROVES, "swim-packet-proves", "swim", "packets refute a suspicion of streams")   \
    X(SWIM_LEAVERS_STAY, "swim-leavers-stay", "swim", "who left is never reaped")                  \
    X(SWIM_GIVES_UP, "swim-gives-up", "swim", "the dead and the seeds are not tried again")        \
    X(SWIM_TELLS_FOREVER, "swim-tells-forever", "swim", "a rumour is sent without limit")          \
    X(SWIM_PACKET_OVERFULL, "swim-packet-overfull", "swim",                                        \
      "a packet takes a byte more for each rumour than its budget")                                \
    X(PAXOS_UNGATED, "paxos-ungated", "paxos", "promises and accepts before that is durable")      \
    X(PAXOS_PROMISE_BROKEN, "paxos-promise-broken", "paxos", "accepts below what it promised")     \
    X(PAXOS_FORGOT_ANSWERS, "paxos-forgot-answers", "paxos",                                       \
      "answers though it forgot its promises")                                                     \
    X(PAXOS_OWN_VALUE, "paxos-own-value", "paxos",                                                 \
      "proposes its own value though one was accepted")                                            \
    X(PAXOS_NEWEST_PROMISE, "paxos-newest-promise", "paxos",                                       \
      "takes the value of the promise that came last, not of the highest ballot")                  \
    X(PAXOS_OLD_PROMISE, "paxos-old-promise", "paxos", "counts promises of its older ballots")     \
    X(PAXOS_OWN_EARLY, "paxos-own-early", "paxos",                                                 \
      "counts its own acceptor before that is durable")                                            \
    X(PAXOS_ROUND_REUSED, "paxos-round-reused", "paxos", "forgets its rounds in a restart")        \
    X(PAXOS_QUORUM_SHORT, "paxos-quorum-short", "paxos", "is content with one acceptance less")    \
    X(PAXOS_BALLOTS_MIXED, "paxos-ballots-mixed", "paxos",                                         \
      "learns from acceptances of different ballots together")                                     \
    X(PAXOS_STATE_KEPT, "paxos-state-kept", "paxos",                                               \
      "takes an acceptor's state into the next instance")                                          \
    X(PAXOS_OLD_COUNCIL, "paxos-old-council", "paxos", "an instance is decided by an older council")

#ifdef SYNOD_PLANTED
#define PLANTED_LIST(X) PLANTED_ALL(X)
#define PLANTED_ENUM(id, name, room, what) PLANTED_##id,
enum planted { PLANTED_NONE, PLANTED_LIST(PLANTED_ENUM) PLANTED_COUNT };
extern enum planted planted_now; /* one at a time */
#define PLANTED(id) __builtin_expect(planted_now == PLANTED_##id, 0)
#else
#define PLANTED_LIST(X)
#define PLANTED(id) false
#endif
#endif
