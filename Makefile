# Thin: the work of each target is done by tests/*.sh and the packages `tests` and `benches`.

CARGO ?= cargo
# Where rustup puts cargo, for shells that do not have it on their PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
# The two programs that tests, the demo and the lab start. Always built together, so that cargo resolves the same
# features each time and does not build chukka again.
PROGRAMS = --release --package chukka --package chukka-tests --bin chukka --bin lab-agent
RELEASE = $(or $(CARGO_TARGET_DIR),target)/release

.PHONY: help demo check deny test test-install test-kunit soak lint sanitize lab build costs fuzz mutants bench bench-start bench-boot bench-firmware bench-guest bench-disk bench-network bench-location bench-install

help: ## list the targets (the default)
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## boot Debian's kernel in chukka and show its console
	@sh tests/setup.sh demo
	@$(CARGO) build $(PROGRAMS) --bin demo
	@$(RELEASE)/demo

check: lint ## minutes: format, clippy, rustdoc, unit tests, cargo-deny; no guests, no servers
	@sh tests/setup.sh check
	$(CARGO) test --workspace --lib --bins
	@sh tests/deny.sh

deny: ## licences and sources of dependencies, by cargo-deny offline
	@sh tests/setup.sh check
	@sh tests/deny.sh

test: ## every test: units, servers, guests, the lab, costs
	@sh tests/setup.sh test
	$(CARGO) build $(PROGRAMS)
	@sh tests/run.sh

test-install: ## Debian by debootstrap, then a boot of its disk, raw and qcow2; Debian's own installer up to its disks; an hour or more without KVM
	@sh tests/setup.sh install
	$(CARGO) build $(PROGRAMS)
	CHUKKA_NO_SKIP=1 $(CARGO) test --package chukka-tests --test guests -- installation:: pxe:: --ignored --nocapture --test-threads 1

test-kunit: ## kunit.py, drgn and gdb with a small kernel, which is built once from Debian's source
	@sh tests/setup.sh kunit
	@sh tests/kunit-kernel.sh
	$(CARGO) build $(PROGRAMS)
	CHUKKA_NO_SKIP=1 $(CARGO) test --package chukka-tests --test guests -- --ignored kunit:: gdb::

soak: ## hours, for nightly use: a million model cases, the address sanitizer, long fuzzing
	PROPTEST_CASES=1000000 $(CARGO) test --package fw_cfg --test model
	CHUKKA_SOAK=1 $(CARGO) test --package network --test tcp --test connections
	CHUKKA_SOAK=1 $(CARGO) test --package chukka-tests --test killed_writer
	$(CARGO) test --package chukka-tests --test guests -- --ignored network:: killed:: disks::
	$(MAKE) sanitize
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),1200) $(MAKE) fuzz

sanitize: ## the transfer engine's tests under the address sanitizer
	@sh tests/setup.sh build
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address PROPTEST_CASES=100000 $(CARGO) test --package guest_memory --package fw_cfg --test transfer --test model \
		--target x86_64-unknown-linux-gnu --target-dir target/sanitize

lint: ## formatting, clippy and the documentation, all warnings as errors
	@sh tests/setup.sh build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

lab: export LAB_COMMAND = $(CMD)
lab: ## run CMD='chukka -kernel …' in the lab; LABFLAGS=--icount counts instructions
	@sh tests/setup.sh demo
	@$(CARGO) build $(PROGRAMS) --bin lab
	@$(RELEASE)/lab $(LABFLAGS) -- "$$LAB_COMMAND"

build: ## build chukka: target/release/chukka
	@sh tests/setup.sh build
	$(CARGO) build --release

costs: ## measure what boots cost and write benches/costs.toml and the table in docs/performance.md
	@sh tests/setup.sh test
	$(CARGO) build $(PROGRAMS)
	CHUKKA_COSTS=write $(CARGO) test --workspace --test costs

fuzz: ## fuzz everything that reads untrusted input: FUZZ_SECONDS=60 for each target
	@sh tests/setup.sh fuzz
	@sh tests/fuzz/run.sh

mutants: ## change one operator or result of PACKAGE=fw_cfg at a time, and list the changes that its tests do not notice
	@sh tests/setup.sh mutants
	$(CARGO) mutants --package $(or $(PACKAGE),fw_cfg) --output target $(MUTANTSFLAGS)

BENCHFLAGS ?= --write
bench: ## the fw_cfg transfer against its peers, into docs/performance.md; BENCHFLAGS=--quick prints only
	@sh tests/setup.sh build
	$(CARGO) run --release --package chukka-benches --bin bench-transfer -- $(BENCHFLAGS)
	$(CARGO) run --release --package chukka-benches --bin bench-operations -- $(BENCHFLAGS)

bench-start: ## process start to the first instruction of the guest, against QEMU
	@sh tests/setup.sh demo
	$(CARGO) run --release --package chukka-benches --bin bench-start

bench-boot: ## exec to userspace on a clock that counts instructions, against QEMU
	@sh tests/setup.sh demo
	$(CARGO) run --release --package chukka-benches --bin bench-boot

bench-firmware: ## boot through SeaBIOS, in counted instructions and natively, against QEMU
	@sh tests/setup.sh demo
	$(CARGO) run --release --package chukka-benches --bin bench-firmware

bench-guest: ## the fw_cfg DMA transfer of an initrd, timed by the guest, against QEMU
	@sh tests/setup.sh demo
	$(CARGO) run --release --package chukka-benches --bin bench-guest

bench-disk: ## a virtio disk in counted instructions and natively, against QEMU, into docs/performance.md; BENCHFLAGS=5 prints only
	@sh tests/setup.sh demo
	$(CARGO) run --release --package chukka-benches --bin bench-disk -- $(or $(BENCHFLAGS),--write)

bench-network: ## a user network in counted instructions against QEMU, and by frames against passt and libslirp, into docs/performance.md; BENCHFLAGS=5 prints only
	@sh tests/setup.sh test
	$(CARGO) run --release --package chukka-benches --bin bench-network -- $(or $(BENCHFLAGS),--write)

bench-location: ## an installer by HTTP against wget, and what is read of an ISO, into docs/performance.md; BENCHFLAGS=5 prints only
	@sh tests/setup.sh test
	$(CARGO) run --release --package chukka-benches --bin bench-location -- $(or $(BENCHFLAGS),--write)

bench-install: ## a small installation over the guest's network in counted instructions, against QEMU, into docs/performance.md
	@sh tests/setup.sh test
	$(CARGO) run --release --package chukka-benches --bin bench-install -- $(or $(BENCHFLAGS),--write)

# Installation: make install PREFIX=/usr/local DESTDIR=
PREFIX ?= /usr/local
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
SHARE = $(DESTDIR)$(PREFIX)/share

.PHONY: install install-files man completions deb

install: build install-files ## install chukka, its man page and completions; PREFIX=/usr/local DESTDIR=

install-files:
	install -Dm755 target/release/chukka $(DESTDIR)$(PREFIX)/bin/chukka
	install -Dm644 packaging/chukka.1 $(SHARE)/man/man1/chukka.1
	install -Dm644 packaging/chukka.bash $(SHARE)/bash-completion/completions/chukka
	install -Dm644 packaging/chukka.zsh $(DESTDIR)$(ZSH_COMPLETIONS)/_chukka
	install -Dm644 packaging/chukka.fish $(SHARE)/fish/vendor_completions.d/chukka.fish
	install -Dm644 -t $(SHARE)/doc/chukka LICENSE-APACHE LICENSE-BSD-3-Clause

man completions: ## refresh packaging/: the man page and the completions, from the option table
	$(CARGO) run --package chukka --example manual

deb: build ## build a Debian package: target/chukka_VERSION_ARCH.deb
	sh packaging/deb.sh
