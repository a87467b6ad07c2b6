#!/bin/sh
# C#: the driver, and the library that MBXP's tests use.
set -e
mcs -nologo -d:DEBUG -out:driver.exe /kit/drivers/driver.cs
mcs -nologo -target:library -r:System.Core.dll -out:CompareNetObjects.dll /kit/drivers/CompareNetObjects.cs
