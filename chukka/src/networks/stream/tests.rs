use std::path::Path;
use std::time::Duration;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn config(path: &Path, is_server: bool) -> StreamConfig {
    StreamConfig { is_server, address: StreamAddress::Unix(path.into()) }
}

/// A client, and the other end of its connection.
fn connected() -> (Stream, UnixStream) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let stream = Stream::new(&config(&path, false)).unwrap();
    let (far, _) = listener.accept().unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    (stream, far)
}

/// Polls until there is something.
fn until<T>(stream: &Stream, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        stream.poll(Instant::now());
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "nothing happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn framed(length: usize) -> Vec<u8> {
    let bytes = vec![u8::try_from(length % 256).unwrap(); length];
    [&u32::try_from(length).unwrap().to_be_bytes()[..], &bytes].concat()
}

#[test]
fn each_frame_follows_its_length() {
    let (stream, mut far) = connected();
    assert!(stream.has_link());
    for length in [60, 1514, MAX_FRAME] {
        let bytes = framed(length);
        // In pieces, as a socket may hand them over.
        for piece in bytes.chunks(1000) {
            assert_eq!(stream.receive(), None);
            far.write_all(piece).unwrap();
            stream.poll(Instant::now());
        }
        let frame = until(&stream, || stream.receive());
        assert_eq!(frame.bytes, bytes[4..], "{length}");
    }
    far.write_all(&[framed(60), framed(61)].concat()).unwrap();
    assert_eq!(until(&stream, || stream.receive()).bytes.len(), 60);
    assert_eq!(until(&stream, || stream.receive()).bytes.len(), 61);
    stream.send(&framed(70)[4..], None);
    stream.poll(Instant::now());
    let mut received = [0; 74];
    far.read_exact(&mut received).unwrap();
    assert_eq!(received[..], framed(70));
}

#[test]
fn what_is_not_a_frame_unplugs_the_cable() {
    for length in [0u32, 13, 65_554, u32::MAX] {
        let (stream, mut far) = connected();
        far.write_all(&length.to_be_bytes()).unwrap();
        until(&stream, || (stream.receive().is_none() && !stream.has_link()).then_some(()));
        stream.send(&[0; 60], None);
        stream.poll(Instant::now());
        assert_eq!(far.read(&mut [0; 8]).unwrap(), 0, "closed");
    }
}

#[test]
fn frames_are_dropped_while_the_other_end_takes_none() {
    let (stream, mut far) = connected();
    for _ in 0..10_000 {
        stream.send(&framed(1514)[4..], None);
        stream.poll(Instant::now());
    }
    assert!(stream.state().outgoing.len() <= MAX_QUEUE + 4 + 1514);
    // What was not dropped is whole.
    let mut received = [0; 4 + 1514];
    for _ in 0..700 {
        stream.poll(Instant::now());
        far.read_exact(&mut received).unwrap();
        assert_eq!(received[..], framed(1514));
    }
}

#[test]
fn a_server_takes_one_connection_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let server = Stream::new(&config(&path, true)).unwrap();
    assert!(!server.has_link());
    for _ in 0..2 {
        let client = Stream::new(&config(&path, false)).unwrap();
        until(&server, || server.has_link().then_some(()));
        client.send(&framed(80)[4..], None);
        client.poll(Instant::now());
        assert_eq!(until(&server, || server.receive()).bytes, framed(80)[4..]);
        drop(client);
        until(&server, || (server.receive().is_none() && !server.has_link()).then_some(()));
    }
    // Its socket can be used again by the next server, but not by two.
    assert!(Stream::new(&config(&path, true)).is_err());
    drop(server);
    assert!(Stream::new(&config(&path, true)).is_ok());
}

#[test]
fn a_server_replaces_an_old_socket_and_no_other_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(Stream::new(&config(&path, true)).is_ok());
    let file = directory.path().join("disk.img");
    std::fs::write(&file, "of the user").unwrap();
    assert!(Stream::new(&config(&file, true)).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"of the user");
}
