#!/bin/sh
# C and Rust: the linker's flags, and the function that tests call last.
set -e
if [ -x /usr/bin/ld.gold ]; then echo -fuse-ld=gold; fi > flags.txt
gcc -O1 -c /kit/drivers/done.c -o done.o
