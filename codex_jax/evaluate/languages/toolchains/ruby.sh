#!/bin/sh
# Ruby: where the gems are that tests use; looking them up takes longer than a program.
set -e
ruby -e 'puts %w[test-unit power_assert].map { |name|
  Gem::Specification.find_by_name(name).full_require_paths }.flatten' > paths
