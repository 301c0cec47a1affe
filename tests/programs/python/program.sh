# CPython 3.11, linked from Debian's static library, with its standard library in a directory of the host that it cannot write.

needs gcc libc6-dev libpython3.11-dev libpython3.11-stdlib libexpat1-dev zlib1g-dev
python=/usr/lib/python3.11
compiled python -I/usr/include/python3.11 -L$python/config-3.11-x86_64-linux-gnu -lpython3.11 -lexpat -lz -lm
program=$built/python
options=(--dir "$python:$python")
