"""Byte code is written beside a module, with the module's time in it, and read from there the next time."""
import importlib, os, sys

sys.dont_write_bytecode = False
here = os.path.dirname(__file__)
sys.path.insert(0, here)
with open(os.path.join(here, "cached.py"), "w") as module:
    module.write("value = 42\nprint('run', __name__, __cached__.removeprefix(__file__.removesuffix('cached.py')))\n")
os.utime(os.path.join(here, "cached.py"), (1_000_000_000, 1_000_000_000))

import cached

del sys.modules["cached"]
importlib.invalidate_caches()
again = importlib.import_module("cached")
print(again is cached, again.value, sorted(os.listdir(os.path.join(here, "__pycache__"))))
