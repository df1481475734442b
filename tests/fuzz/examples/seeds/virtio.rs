//! Drivers by the rules, and what breaks them.

use chukka_fuzz::virtio::Access;
use chukka_fuzz::virtio_disk::{Input, Operation};
use chukka_fuzz::virtio_rings;

use super::Seeds;

/// Requests of every kind, several at once, on each transport with each choice of features.
fn requests(options: u8) -> Vec<Operation> {
    let request = |number: u8| Operation::Request {
        kind: number,
        sector: number.wrapping_mul(7),
        count: number % 13,
        value: number,
        layout: number.wrapping_mul(29) ^ options,
        wait: number % 3,
    };
    (0..24).map(request).collect()
}

fn poke(at: u32, bytes: &[u8]) -> Access {
    Access::Poke { at, bytes: bytes.into() }
}

/// Requests, one thing that breaks a rule, and requests again.
fn broken(options: u8, between: &[Access]) -> Vec<u8> {
    let some = &requests(options)[..6];
    let between: Vec<_> =
        between.iter().map(|access| Operation::Any { access: access.clone() }).collect();
    Input { options, operations: [some, &between, some].concat() }.to_bytes()
}

pub fn disks() -> Seeds {
    let named = |(name, options): (&'static str, u8)| {
        (name, Input { options, operations: requests(options) }.to_bytes())
    };
    let all = [
        ("mmio", 0),
        ("pci", 1),
        ("mmio-read-only", 2),
        ("mmio-indirect", 4),
        ("pci-event", 9),
        ("mmio-event-indirect-cache", 28),
        ("pci-event-indirect-cache", 29),
    ];
    let mut seeds: Seeds = all.map(named).into();
    let out = |space, offset, width, value| Access::Out { space, offset, width, value };
    // The available ring and its index, descriptors that form a loop, a far buffer, and a reset.
    let available = [poke(0x2002, &[200, 0]), Access::Notify { queue: 0 }];
    let looped = [
        poke(0x1000, &[0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0]),
        poke(0x2002, &[7, 0, 0, 0, 0, 0]),
        Access::Notify { queue: 0 },
        Access::In { space: 0, offset: 0x70, width: 4 },
    ];
    let far = [
        poke(
            0x1000,
            &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0],
        ),
        poke(0x2002, &[7, 0]),
        Access::Notify { queue: 0 },
        Access::Reset {},
    ];
    let mmio = [out(0, 0x30, 4, 5), out(0, 0x38, 4, 3), out(0, 0x44, 4, 1), out(0, 0x70, 4, 0x80)];
    let pci = [
        out(1, 4, 2, 0),
        Access::Notify { queue: 0 },
        out(1, 0x88, 4, 4),
        out(1, 0x8c, 4, 0x14),
        out(1, 0x90, 4, 1),
        Access::In { space: 1, offset: 0x94, width: 1 },
        out(1, 0x9a, 2, 0xc000),
        out(2, 12, 4, 0),
    ];
    for (name, options, between) in [
        ("mmio-index", 0, &available[..]),
        ("pci-index", 1, &available),
        ("mmio-loop", 4, &looped),
        ("pci-far", 13, &far),
        ("mmio-registers", 8, &mmio),
        ("pci-config", 9, &pci),
    ] {
        seeds.push((name, broken(options, between)));
    }
    seeds
}

/// Frames, or reads and commands, with something between them that breaks a rule.
fn moves(options: u8) -> Vec<u8> {
    use virtio_rings::Operation::{Any, Command, Move};
    let moved = |number: u8| Move {
        what: u16::from(number) * 61,
        value: number,
        layout: number.wrapping_mul(29) ^ options,
    };
    let command = |(opcode, count): &(u8, u8)| Command {
        target: 0,
        lun: u8::from(*count == 7),
        cdb: vec![*opcode, 0, 0, 0, *count, 0, 0, 0, *count, 0],
        room: 96,
        layout: *opcode,
    };
    let commands = [
        (0, 0),
        (3, 18),
        (0x12, 36),
        (0x12, 7),
        (0x25, 0),
        (0x43, 12),
        (0x46, 8),
        (0x5a, 32),
        (0xa0, 0),
    ];
    let mut operations: Vec<_> = (0..16).map(moved).collect();
    operations.extend(commands.iter().map(command));
    for access in
        [poke(0x2002, &[200, 0]), Access::Notify { queue: 0 }, Access::Notify { queue: 1 }]
    {
        operations.push(Any { access });
    }
    operations.extend((0..8).map(moved));
    operations.push(command(&(0x1b, 2)));
    virtio_rings::Input { options, operations }.to_bytes()
}

pub fn rings() -> Seeds {
    let all = [
        ("card-mmio", 0),
        ("card-pci-indirect", 5),
        ("card-mmio-event-mergeable", 24),
        ("card-pci-event-indirect", 13),
        ("cd-mmio", 2),
        ("cd-pci-indirect", 7),
        ("cd-pci-event", 11),
        ("cd-mmio-event-indirect", 14),
        ("console-mmio", 32),
    ];
    all.map(|(name, options)| (name, moves(options))).into()
}
