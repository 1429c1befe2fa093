"""Sabotage: break the platform in one known way, and require exactly the named tests to turn red.

case.py        what a sabotage is: patches against platform/ and the tests that must notice
groups.py      which sabotages can be rolled out together
experiment.py  break the running platform, run the tests, undo, run the red tests again
verdict.py     what the tests' outcomes say about the tests (pure)
command.py     `infraforge sabotage`
"""
