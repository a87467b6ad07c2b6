#!/bin/sh
# Scala: the driver, which is Java's.
set -e
javac -nowarn -d . /kit/drivers/Driver.java
