"""A run's owner that can be killed: told what to do by a line of JSON on standard input.

Prints the run's folder once the run is complete, and ends it at the next line.
"""

import json
import sys

from pytest_dbmigrate.runs import guardian
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.runs.server_process import ServerProcess

told = json.loads(sys.stdin.readline())
run = Run.start(told["project"])
if told["work"]:
    with run.start_guardian(guardian.Work(**told["work"])) as start:
        if told["process"]:
            start(ServerProcess(**told["process"]))
if told["keep"]:
    run.keep()
print(run.folder, flush=True)
if sys.stdin.readline():
    run.finish()
