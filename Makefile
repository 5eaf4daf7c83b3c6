# The very commands that CI runs.

.PHONY: check test bench

# Formatting, lints and all tests, installing nothing.
check:
	tests/run quick

# The same, after setting up what is missing.
test:
	tests/run

# Every measured claim, next to a reference measured in the same run.
bench:
	cargo bench --benches
