//! A guest of the SATA controller.

use super::Seeds;

/// A command by the rules: code, sector and count.
fn command(code: u8, sector: u8, count: u8) -> [u8; 6] {
    [6, 0, code, sector, count, 0]
}

pub(crate) fn seeds() -> Seeds {
    // Reads and writes, by DMA, queued and by PIO; identification, a flush, an unknown command.
    let commands =
        [(0x25, 3, 2), (0x35, 5, 1), (0x60, 7, 1), (0x61, 8, 4), (0x24, 9, 1), (0xec, 0, 1)];
    let others = [(0xea, 0, 0), (0xb0, 0, 0), (0x2f, 0x10, 1), (0x06, 0, 1), (0x25, 63, 2)];
    let all = commands.into_iter().chain(others);
    let commands = all
        .flat_map(|(code, sector, count)| {
            [command(code, sector, count), [7, 1, 0, 0, 0, 0]].concat()
        })
        .collect();
    // A port that is stopped, a link that is reset, a software reset, a list that is nowhere.
    let resets = [
        [0, 6, 0x10, 0, 0, 0],
        [0, 6, 0x11, 0, 0, 0],
        [0, 11, 1, 0, 0, 0],
        [0, 11, 0, 0, 0, 0],
        [5, 0, 0x27, 0, 0, 0],
        [5, 3, 0, 0, 0, 4],
        [0, 14, 1, 0, 0, 0],
        [5, 3, 0, 0, 0, 0],
        [0, 14, 1, 0, 0, 0],
        [0, 1, 0xff, 0xff, 0xff, 0xff],
        command(0x25, 1, 1),
    ];
    vec![("commands", commands), ("resets", resets.concat())]
}
