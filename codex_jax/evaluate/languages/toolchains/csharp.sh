#!/bin/sh
# C#: the driver.
set -e
mcs -nologo -d:DEBUG -out:driver.exe /kit/drivers/driver.cs
