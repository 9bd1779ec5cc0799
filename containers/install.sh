#!/bin/sh
# Runs inside of each image while it is built: an environment of exactly the lock, from the bound wheels, without a network.
# Source archives are compiled here, with the setuptools of the lock. A lock with hashes makes pip check them.
set -eu
cd /opt/asymgrpo
python3 -m venv venv
pip() { venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
offline="--no-index --find-links wheels --no-deps --no-build-isolation --use-pep517 --no-cache-dir --no-compile"
if grep -q '^setuptools==' requirements.lock; then # with its hashes: the entry goes on while lines end in a backslash
    awk '/^setuptools==/ {found = 1} found {print} found && !/\\$/ {exit}' requirements.lock > setuptools.lock
    pip install $offline --requirement setuptools.lock
    rm setuptools.lock
fi
pip install $offline --requirement requirements.lock
venv/bin/python -m compileall -q -j 0 venv/lib || true # a few packages ship templates that are no Python
venv/bin/python record.py requirements.lock recipe.json content.json
