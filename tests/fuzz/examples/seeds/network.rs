//! What a guest does with its network when it boots and installs.

use super::Seeds;

/// An operation of the target.
fn op(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number, u8::try_from(body.len()).expect("a short body")][..], body].concat()
}

/// A segment: flags, units of 64 bytes, options.
fn segment(flags: u8, units: u8, options: &[u8]) -> Vec<u8> {
    op(2, &[&[flags, 0, 0, 0, 0, 0x40, 0, units][..], options].concat())
}

pub fn seeds() -> Seeds {
    // Maximum segment size 1460, window scale 7.
    let syn = segment(2, 0, &[2, 4, 5, 0xb4, 1, 3, 3, 7]);
    let (ack, data, fin) = (segment(16, 0, &[]), segment(24, 20, &[]), segment(17, 0, &[]));
    let wait = op(3, &[1, 0]);
    let tcp = [&op(9, &[7]), &syn, &wait, &ack, &data, &data, &op(7, b"HTTP/1.1 200 OK"), &wait]
        .map(Vec::as_slice)
        .concat();
    let closing = [&ack[..], &op(7, b""), &ack, &fin, &ack, &wait].concat();
    let late = [&syn[..], &wait, &ack, &op(2, &[24, 5, 0, 0, 0, 64, 0, 4]), &data].concat();
    let mut arp =
        [&[0xff; 6][..], &[0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    arp.extend([0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2]);
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x06mirror\x07example\0\0\x01\0\x01";
    let request = b"\0\x01image/iso\0octet\0blksize\x001024\0tsize\x000\0windowsize\x004\0";
    let echo = [1, 0, 0, 0, 8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let first = [&[17, 0, 0x20, 0, 0, 9, 0, 69, 0, 24, 0, 0][..], &[1; 8]].concat();
    let solicit = [58, 133, 0, 0, 0, 0, 0, 0, 0];
    vec![
        ("arp", op(0, &arp)),
        ("dhcp", [op(4, &[53, 1, 1, 255]), op(4, &[53, 1, 3, 50, 4, 10, 0, 2, 15, 255])].concat()),
        ("dns", [op(6, query), op(3, &[0, 10])].concat()),
        ("echo", op(1, &echo)),
        ("fragments", [op(1, &first), op(1, &[&[17, 0, 0, 2][..], &[2; 8]].concat())].concat()),
        ("router", op(8, &solicit)),
        ("tcp", [tcp, closing].concat()),
        ("tcp-out-of-order", late),
        ("tftp", [op(5, request), op(5, &[0, 4, 0, 0]), op(5, &[0, 4, 0, 2])].concat()),
    ]
}
