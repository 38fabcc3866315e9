/* sim.h - `synod sim cluster`: whole clusters in one thread, from one seed.
 *
 * The simulated world drives the same struct node that ships: it feeds events,
 * runs effects, and keeps time, network, disks and clients itself. One seed
 * decides everything, so that a failing run repeats exactly.
 */
#ifndef SIM_H
#define SIM_H

/* argv[0] is ignored; then may come "cluster" (or another study: "check", "ring"), then options
 * ("--help" lists them). Exit status: 0 no finding, 1 a finding was printed, 2 wrong usage. */
int sim_main(int argc, char **argv);
#endif
