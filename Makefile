# Aliases; the scripts do the work and set up what they need.
.PHONY: run test check bench soak soak-security soak-dns runtime-burst fuzz differential mutants
run:
	scripts/run
test:
	scripts/test
check:
	scripts/test check
bench:
	scripts/bench
soak:
	scripts/soak
soak-security:
	scripts/soak-security
soak-dns:
	scripts/soak-dns
runtime-burst:
	scripts/test runtime-burst
fuzz:
	scripts/test fuzz
differential:
	scripts/differential
mutants:
	scripts/mutants
