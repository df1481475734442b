# Thin: what each target does is in tests/setup.sh and in the packages `tests` and `benches`.

CARGO ?= cargo
# Where rustup puts it, for shells that do not know yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help demo test sanitize lint lab build fuzz bench bench-start bench-boot bench-firmware bench-guest bench-location

help: ## list the targets (the default)
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## boot Debian's kernel in chukka and show its console
	@sh tests/setup.sh demo
	@$(CARGO) build --quiet --release --package chukka
	@$(CARGO) run --quiet --package chukka-tests --bin demo

test: ## run every test: units, guests, the lab
	@sh tests/setup.sh test
	$(CARGO) build --release --package chukka --bin chukka
	$(CARGO) build --release --package chukka-tests --bin lab-agent
	$(CARGO) test --workspace --no-fail-fast
	$(CARGO) test --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz

sanitize: ## the transfer engine's tests under the address sanitizer
	@sh tests/setup.sh build
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address PROPTEST_CASES=5000 $(CARGO) test --package guest_memory --package fw_cfg --test transfer --test model \
		--target x86_64-unknown-linux-gnu --target-dir target/sanitize

lint: ## formatting, clippy and the documentation, all warnings as errors
	@sh tests/setup.sh build
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

lab: export LAB_COMMAND = $(CMD)
lab: ## run CMD='chukka -kernel …' in the lab; LABFLAGS=--icount counts instructions
	@sh tests/setup.sh demo
	@$(CARGO) run --quiet --package chukka-tests --bin lab -- $(LABFLAGS) -- "$$LAB_COMMAND"

build: ## build chukka: target/release/chukka
	@sh tests/setup.sh build
	$(CARGO) build --release

fuzz: ## fuzz what comes in from guests, files and command lines: FUZZ_SECONDS=60 for each target
	@sh tests/setup.sh fuzz
	@sh tests/fuzz/run.sh
BENCHFLAGS ?= --write
bench: ## the fw_cfg transfer against its peers' ways, into docs/performance.md; BENCHFLAGS=--quick prints only
	@sh tests/setup.sh build
	$(CARGO) run --release --package chukka-benches --bin bench-transfer -- $(BENCHFLAGS)
	$(CARGO) run --release --package chukka-benches --bin bench-operations -- $(BENCHFLAGS)

bench-start: ## process start to the first instruction of the guest, against QEMU
	@sh tests/setup.sh demo
	$(CARGO) run --release --package chukka-benches --bin bench-start

bench-boot: ## exec to userspace on a clock that counts instructions, against QEMU
	@sh tests/setup.sh demo
	$(CARGO) run --release --package chukka-benches --bin bench-boot

bench-firmware: ## boot by SeaBIOS, in counted instructions and natively, against QEMU
	@sh tests/setup.sh demo
	$(CARGO) run --release --package chukka-benches --bin bench-firmware

bench-guest: ## the fw_cfg DMA transfer of an initrd, timed by the guest, against QEMU
	@sh tests/setup.sh demo
	$(CARGO) run --release --package chukka-benches --bin bench-guest

bench-location: ## an installer by HTTP against wget, and what is read of an ISO, into docs/performance.md; BENCHFLAGS=5 prints only
	@sh tests/setup.sh test
	$(CARGO) run --release --package chukka-benches --bin bench-location -- $(or $(BENCHFLAGS),--write)

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
