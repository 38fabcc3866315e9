"""The mix of all faults, in its short form: a fixed plan and seed, bounded in time."""
import os
import tempfile

import box
from cluster import Failure
from scenarios_basic import short

BOUND_S = 150  # far above what it takes; whatever happens, it ends


@short
def scenario_mixed():
    """Faults of every kind under recorded clients; the history is judged"""
    lacks = box.missing()
    if lacks:
        from run import Skip
        raise Skip("needs %s" % lacks)
    program = os.path.join(box.HERE, "mix.py")
    with tempfile.TemporaryFile("w+") as out:
        status = box.enter([program, "--short", "--seed", "1"], out, BOUND_S)
        out.seek(0)
        said = out.read()
    if status != 0:
        raise Failure("status %d\n%s" % (status, said.strip()[-4000:]))
    lines = [line for line in said.split("\n") if " operations on " in line]
    return lines[0] if lines else said[-200:]
