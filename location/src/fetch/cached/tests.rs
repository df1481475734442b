use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use super::super::cache::name_of;
use super::super::{Keep, NoProgress, places};
use super::*;
use crate::testing::Temp;
use storage::{hint_of, read_whole};

const URL: &str = "http://far.example/tree";
const LEN: usize = 1 << 20;

/// A place far away, and what was asked of it.
#[derive(Clone, Debug, Default)]
struct Far(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By path: bytes, and the version.
    files: BTreeMap<String, (Vec<u8>, String)>,
    /// The length that is announced, where it is not the file's.
    announced: Option<usize>,
    /// Whether no length is announced.
    is_unannounced: bool,
    /// The connection breaks after this number of bytes of each response.
    breaks: Option<usize>,
    asked: usize,
    sent: usize,
}

impl Far {
    fn with(path: &str, version: &str) -> Self {
        let far = Self::default();
        far.put(path, (0..LEN).map(|at| (at % 251).to_le_bytes()[0]).collect(), version);
        far
    }

    fn put(&self, path: &str, bytes: Vec<u8>, version: &str) {
        self.change(|state| state.files.insert(path.into(), (bytes, version.into())));
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    /// How many questions, and bytes of answers, since this was asked last.
    fn asked_and_sent(&self) -> (usize, usize) {
        self.change(|state| (std::mem::take(&mut state.asked), std::mem::take(&mut state.sent)))
    }
}

impl FileTree for Far {
    fn name(&self) -> &'static str {
        URL
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        self.change(|state| {
            state.asked += 1;
            if *directory != TreePath::root() {
                return Err(FileError::Unlisted(directory.to_string()));
            }
            let entry = |name: &String| Entry { name: name.clone(), is_directory: false };
            Ok(state.files.keys().map(entry).collect())
        })
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        self.open_short(path, u64::MAX)
    }

    fn open_short(&self, path: &TreePath, most: u64) -> Result<Box<dyn RandomAccess>, FileError> {
        self.change(|state| {
            state.asked += 1;
            let (bytes, version) = state
                .files
                .get(&path.to_string())
                .ok_or_else(|| FileError::Missing(path.to_string()))?;
            let len = state.announced.unwrap_or(bytes.len());
            let (mut bytes, version) = (bytes.clone(), version.clone());
            let is_cut = state.is_unannounced && len as u64 > most;
            let len = if is_cut { usize::try_from(most).unwrap() + 1 } else { len };
            bytes.truncate(if is_cut { len } else { usize::MAX });
            Ok(Box::new(FarFile { far: self.clone(), bytes, version, len, is_cut }) as Box<_>)
        })
    }
}

#[derive(Debug)]
struct FarFile {
    far: Far,
    bytes: Vec<u8>,
    version: String,
    len: usize,
    is_cut: bool,
}

impl RandomAccess for FarFile {
    fn name(&self) -> &'static str {
        "far"
    }

    fn len(&self) -> u64 {
        self.len as u64
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        self.stream(at)?.read(to)
    }

    fn stream(&self, from: u64) -> io::Result<Box<dyn Read + '_>> {
        let from = usize::try_from(from).unwrap().min(self.bytes.len());
        let rest = &self.bytes[from..];
        let breaks = self.far.change(|state| state.breaks).unwrap_or(usize::MAX);
        let (sent, broken) = rest.split_at(rest.len().min(breaks));
        let end = if broken.is_empty() { None } else { Some(io::ErrorKind::ConnectionReset) };
        Ok(Box::new(RecordedAnswer { far: &self.far, rest: sent, end }))
    }

    fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn version(&self) -> String {
        self.version.clone()
    }
}

struct RecordedAnswer<'a> {
    far: &'a Far,
    rest: &'a [u8],
    end: Option<io::ErrorKind>,
}

impl Read for RecordedAnswer<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match (self.rest.read(to)?, self.end) {
            (0, Some(kind)) if !to.is_empty() => Err(kind.into()),
            (count, _) => {
                self.far.change(|state| state.sent += count);
                Ok(count)
            }
        }
    }
}

/// A host with a cache in `temp`, that reaches `far`.
fn host(temp: &Temp, far: &Far, settings: &Settings) -> Cached {
    let cache = Cache::open(temp.path().into()).unwrap();
    let place = Place::Http(URL.into());
    let shared = Shared::new(&place, settings, Arc::new(NoProgress), Some(cache));
    shared.opened.set(Box::new(far.clone())).unwrap();
    Cached::of(Arc::new(shared))
}

fn get(host: &Cached, path: &str) -> io::Result<Vec<u8>> {
    let file = host.open(&TreePath::new(path)).map_err(into_io)?;
    let mut bytes = Vec::new();
    file.into_file()?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn fetched(temp: &Temp, far: &Far) -> io::Result<Vec<u8>> {
    get(&host(temp, far, &Settings::default()), "linux")
}

/// Makes what is known two hours old.
fn age(temp: &Temp) {
    let path = temp.path().join("places").join(format!("{}.json", name_of(URL)));
    let mut record = places::read(&path).unwrap();
    record.asked -= 7_200_000_000;
    for answer in record.answers.values_mut() {
        answer.asked -= 7_200_000_000;
    }
    places::write(&path, &record).unwrap();
}

fn names(directory: PathBuf) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(name).collect();
    names.sort();
    names
}

fn offline() -> Settings {
    Settings { offline: true, ..Settings::default() }
}

#[test]
fn known_answers_are_not_requested_again() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let look = |host: Cached| {
        assert!(host.open(&TreePath::new("absent")).unwrap_err().is_missing());
        assert_eq!(host.list(&TreePath::root()).unwrap().len(), 1);
        let unlisted = host.list(&TreePath::new("sub")).unwrap_err();
        assert!(matches!(unlisted, FileError::Unlisted(_)));
        assert_eq!(get(&host, "linux").unwrap().len(), LEN);
        let file = host.open(&TreePath::new("linux")).unwrap();
        assert_eq!((file.len(), file.version()), (LEN as u64, "1".into()));
        assert_eq!(read_whole(&*file, LEN).unwrap().unwrap()[252], 1);
        assert_eq!(file.name(), "http://far.example/tree/linux");
    };
    look(host(&temp, &far, &Settings::default()));
    assert_eq!(far.asked_and_sent(), (4, LEN));
    look(host(&temp, &far, &Settings::default()));
    assert_eq!(far.asked_and_sent(), (0, 0), "all is known");
    age(&temp);
    look(host(&temp, &far, &offline()));
    assert_eq!(far.asked_and_sent(), (0, 0), "old, but there is nobody to ask");
    look(host(&temp, &far, &Settings::default()));
    assert_eq!(far.asked_and_sent(), (4, 0), "asked, and nothing has changed");
    age(&temp);
    far.put("linux", vec![7; 100], "2");
    assert_eq!(fetched(&temp, &far).unwrap(), vec![7; 100]);
    assert_eq!(far.asked_and_sent(), (1, 100));
}

#[test]
fn asked_to_refresh_all_comes_again() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    fetched(&temp, &far).unwrap();
    far.asked_and_sent();
    let refresh = Settings { refresh: true, ..Settings::default() };
    get(&host(&temp, &far, &refresh), "linux").unwrap();
    assert_eq!(far.asked_and_sent(), (1, LEN));
    assert_eq!(names(temp.path().join("content")).len(), 1);
}

#[test]
fn offline_an_uncached_file_is_an_error() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let error = get(&host(&temp, &far, &offline()), "linux").unwrap_err();
    assert!(error.to_string().contains("-offline"), "{error}");
    assert_eq!(hint_of(&error), Some("run it once without -offline"));
    assert!(host(&temp, &far, &offline()).list(&TreePath::root()).is_err());
    assert_eq!(far.asked_and_sent(), (0, 0));
}

/// Offline, it is not used either, as in the run that asked.
#[test]
fn that_a_text_is_too_long_is_known_though_its_length_is_not() {
    let (temp, far) = (Temp::new(), Far::with("text", "1"));
    far.change(|state| state.is_unannounced = true);
    let text = |settings: &Settings, most: usize| {
        let file = host(&temp, &far, settings).open_short(&TreePath::new("text"), most as u64);
        read_whole(&*file.map_err(into_io)?, most)
    };
    let online = Settings::default();
    assert_eq!(text(&online, 1000).unwrap(), None);
    assert_eq!(far.asked_and_sent(), (1, 0));
    for settings in [&online, &offline()] {
        assert_eq!(text(settings, 1000).unwrap(), None);
        assert_eq!(text(settings, 999).unwrap(), None);
    }
    assert_eq!(far.asked_and_sent(), (0, 0));
    // Nothing is known of whoever wants more.
    assert!(text(&offline(), 1001).unwrap_err().to_string().contains("-offline"));
    assert!(get(&host(&temp, &far, &offline()), "text").is_err());
    assert_eq!(text(&online, LEN).unwrap().map(|text| text.len()), Some(LEN));
    assert_eq!(text(&offline(), LEN).unwrap().map(|text| text.len()), Some(LEN));
    assert_eq!(text(&offline(), 1000).unwrap(), None);
}

/// Of a large file a piece is all that comes; a text is read whole.
#[test]
fn a_text_that_was_read_is_cached_however_long_it_is() {
    let (temp, far) = (Temp::new(), Far::with("menu", "1"));
    for settings in [&Settings::default(), &offline()] {
        let file = host(&temp, &far, settings).open(&TreePath::new("menu")).unwrap();
        assert_eq!(read_whole(&*file, LEN).unwrap().map(|text| text.len()), Some(LEN));
    }
}

/// The beginning that is at hand is not all of the file, which may have one more byte.
#[test]
fn a_file_of_one_byte_more_than_is_of_use_is_cached_as_any_other() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let short = host(&temp, &far, &Settings::default());
    let file = short.open_short(&TreePath::new("linux"), LEN as u64 - 1).unwrap();
    assert!(!file.is_cut());
    assert_eq!(file.into_file().unwrap().metadata().unwrap().len(), LEN as u64);
    assert_eq!(get(&host(&temp, &far, &offline()), "linux").unwrap().len(), LEN);
}

#[test]
fn what_is_at_hand_of_a_longer_file_is_read_and_not_taken_for_all_of_it() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    far.change(|state| state.is_unannounced = true);
    let online = Settings::default();
    let short = host(&temp, &far, &online).open_short(&TreePath::new("linux"), 1000);
    let mut bytes = Vec::new();
    short.unwrap().into_file().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 1001);
    let again = host(&temp, &far, &online).open_short(&TreePath::new("linux"), 1000).unwrap();
    assert_eq!(storage::head(&*again, 2000).unwrap(), bytes);
    assert_eq!(get(&host(&temp, &far, &online), "linux").unwrap().len(), LEN);
}

#[test]
fn an_interrupted_transfer_is_resumed() {
    for announced in [None, Some(LEN)] {
        let (temp, far) = (Temp::new(), Far::with("linux", "1"));
        if announced.is_some() {
            // Shorter than it said, and no error.
            far.put("linux", vec![0; 1000], "1");
            far.change(|state| state.announced = announced);
        } else {
            far.change(|state| state.breaks = Some(1000));
        }
        let error = fetched(&temp, &far).unwrap_err();
        assert!(names(temp.path().join("content")).is_empty(), "{error}");
        assert_eq!(far.asked_and_sent(), (1, 1000));
        far.change(|state| (state.breaks, state.announced) = (None, None));
        far.put("linux", vec![0; LEN], "1");
        assert_eq!(fetched(&temp, &far).unwrap().len(), LEN);
        assert_eq!(far.asked_and_sent().1, LEN - 1000, "{error}");
        assert!(names(temp.path().join("partial")).is_empty());
    }
}

#[test]
fn a_partial_file_of_another_version_is_not_resumed() {
    for (before, after) in [("1", "2"), ("", "")] {
        let (temp, far) = (Temp::new(), Far::with("linux", before));
        far.change(|state| state.breaks = Some(1000));
        fetched(&temp, &far).unwrap_err();
        let kept = names(temp.path().join("partial"));
        assert_eq!(kept.is_empty(), before.is_empty(), "{kept:?}");
        far.change(|state| state.breaks = None);
        far.put("linux", vec![9; LEN], after);
        age(&temp);
        far.asked_and_sent();
        assert_eq!(fetched(&temp, &far).unwrap(), vec![9; LEN]);
        assert_eq!(far.asked_and_sent(), (1, LEN));
    }
}

/// As a process leaves it that was killed: what is not of a version cannot be told from another
/// one's.
#[test]
fn a_part_without_a_version_is_not_continued() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    far.change(|state| state.breaks = Some(1000));
    fetched(&temp, &far).unwrap_err();
    let about = names(temp.path().join("partial")).into_iter().find(|name| name.ends_with("json"));
    let about = temp.path().join("partial").join(about.unwrap());
    let text = fs::read_to_string(&about).unwrap();
    fs::write(&about, text.replace("\"version\": \"1\"", "\"version\": \"\"")).unwrap();
    assert_ne!(fs::read_to_string(&about).unwrap(), text);
    far.change(|state| state.breaks = None);
    far.put("linux", vec![9; LEN], "");
    age(&temp);
    assert!(fetched(&temp, &far).unwrap() == vec![9; LEN]);
}

#[test]
fn a_file_that_changed_since_it_was_asked_is_an_error_once() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    host(&temp, &far, &Settings::default()).open(&TreePath::new("linux")).unwrap();
    far.put("linux", vec![9; 100_000], "2");
    let error = fetched(&temp, &far).unwrap_err();
    assert!(error.to_string().contains("100000 bytes now, and had 1048576"), "{error}");
    assert_eq!(fetched(&temp, &far).unwrap(), vec![9; 100_000]);
}

#[test]
fn a_file_longer_than_reported_is_not_cached() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    far.change(|state| state.announced = Some(LEN - 1));
    let error = fetched(&temp, &far).unwrap_err();
    assert!(error.to_string().contains("longer than the announced 1048575 bytes"), "{error}");
    for directory in ["content", "partial"] {
        assert!(names(temp.path().join(directory)).is_empty());
    }
}

#[test]
fn a_file_above_the_limit_is_not_fetched() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let limited = Settings { limit: 1000, ..Settings::default() };
    let error = get(&host(&temp, &far, &limited), "linux").unwrap_err();
    assert_eq!(error.to_string(), "it has 1048576 bytes; the limit is 1000");
    assert!(hint_of(&error).unwrap().contains("-fetch limit="));
    assert_eq!(far.asked_and_sent(), (1, 0));
}

#[test]
fn a_damaged_cache_is_as_none() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let whole = fetched(&temp, &far).unwrap();
    let content = temp.path().join("content");
    let blob = content.join(names(content.clone()).remove(0));
    let record = temp.path().join("places").join(format!("{}.json", name_of(URL)));
    let write = |path: &PathBuf, bytes: &[u8]| {
        let _ = fs::remove_file(path);
        fs::write(path, bytes).unwrap();
    };
    let again = |what: &str| {
        far.asked_and_sent();
        assert_eq!(fetched(&temp, &far).unwrap(), whole, "{what}");
        assert_eq!(far.asked_and_sent(), (1, LEN), "{what}");
    };
    fs::remove_file(&blob).unwrap();
    again("the bytes are gone");
    write(&blob, b"short");
    again("they are not all there");
    write(&blob, &vec![7; LEN]);
    again("they are others");
    for damaged in [&b""[..], b"{", b"[]", b"\xff\xfe", b"{\"place\":\"http://far.example/tree\"}"]
    {
        write(&record, damaged);
        again("the record is damaged");
    }
    let other = fs::read_to_string(&record).unwrap().replace("far.example", "other.example");
    write(&record, other.as_bytes());
    again("the record is another place's");
    let outside = fs::read_to_string(&record).unwrap();
    let sum = names(content.clone()).remove(0).replace("sha256-", "");
    write(&record, outside.replace(&sum, "../../../etc/passwd").as_bytes());
    again("the sum is none");
}

/// Puts something in the place of a file that is none.
type Replace = fn(&PathBuf);

const NO_FILES: [Replace; 4] = [
    |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("inside"), "x").unwrap();
    },
    |path| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, pipe, mode, 0).unwrap();
    },
    |path| std::os::unix::fs::symlink("/etc/hostname", path).unwrap(),
    |path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
];

/// Nothing waits for the writer of a pipe, and nothing fails for ever because a directory has the
/// name of a file.
#[test]
fn anything_but_a_regular_file_in_the_cache_is_replaced() {
    for replace in NO_FILES {
        let (temp, far) = (Temp::new(), Far::with("linux", "1"));
        let whole = fetched(&temp, &far).unwrap();
        let content = temp.path().join("content");
        let blob = content.join(names(content.clone()).remove(0));
        let checked = temp.path().join("checked").join(blob.file_name().unwrap());
        let record = temp.path().join("places").join(format!("{}.json", name_of(URL)));
        let part = temp.path().join("partial").join(name_of(&format!("{URL}\0linux")));
        let with = |suffix| part.with_extension(suffix);
        let kept = [&blob, &temp.path().join("lock"), &checked, &record].map(Clone::clone);
        let made = [record.with_extension("new"), with("json"), with("new"), with("lock")];
        for path in kept.into_iter().chain(made.clone()).chain([part.clone()]) {
            let _ = fs::remove_file(&path);
            replace(&path);
            if path == part || made.contains(&path) {
                fs::remove_file(&blob).unwrap();
            }
            assert_eq!(fetched(&temp, &far).unwrap(), whole, "{}", path.display());
            // What was found intact is written down only when the file is older than two seconds.
            let is_file = fs::symlink_metadata(&path).is_ok_and(|about| about.is_file());
            assert!(is_file || !path.exists() || path == checked, "{}", path.display());
            let _ = fs::remove_file(&checked).or_else(|_| fs::remove_dir_all(&checked));
            let cache = Cache::open(temp.path().into()).unwrap();
            replace(&content.join("other"));
            cache.prune(None).unwrap();
            assert_eq!(names(content.clone()).len(), 1);
        }
    }
}

#[test]
fn a_damaged_part_is_as_none() {
    let damages: [fn(&PathBuf); 3] = [
        |data| fs::write(data.with_extension("json"), "{").unwrap(),
        |data| fs::write(data, vec![1; LEN + 1]).unwrap(),
        |data| fs::remove_file(data).unwrap(),
    ];
    for damage in damages {
        let (temp, far) = (Temp::new(), Far::with("linux", "1"));
        far.change(|state| state.breaks = Some(1000));
        fetched(&temp, &far).unwrap_err();
        let partial = temp.path().join("partial");
        let data = names(partial.clone()).into_iter().find(|name| !name.contains('.')).unwrap();
        damage(&partial.join(data));
        far.change(|state| state.breaks = None);
        far.asked_and_sent();
        assert_eq!(fetched(&temp, &far).unwrap().len(), LEN);
        assert_eq!(far.asked_and_sent().1, LEN);
    }
}

#[test]
fn several_at_once_fetch_it_once() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(fetched(&temp, &far).unwrap().len(), LEN));
        }
    });
    assert_eq!(far.asked_and_sent().1, LEN);
    assert!(names(temp.path().join("partial")).is_empty());
    assert_eq!(names(temp.path().join("content")).len(), 1);
}

#[test]
fn what_led_to_nothing_is_asked_again() {
    let (temp, far) = (Temp::new(), Far::default());
    assert!(host(&temp, &far, &Settings::default()).open(&TreePath::new("linux")).is_err());
    far.put("linux", vec![1; 10], "1");
    assert!(fetched(&temp, &far).is_err(), "it was not there a moment ago");
    let cache = Keep::In(temp.path().into());
    let fetcher = crate::Fetcher::new(Settings { cache, ..Settings::default() });
    fetcher.forget(&Place::Http(URL.into()));
    assert_eq!(fetched(&temp, &far).unwrap(), vec![1; 10]);
}

#[test]
fn without_a_cache_it_is_all_in_memory() {
    let far = Far::with("linux", "1");
    let place = Place::Http(URL.into());
    let shared = Shared::new(&place, &Settings::default(), Arc::new(NoProgress), None);
    shared.opened.set(Box::new(far.clone())).unwrap();
    let host = Cached::of(Arc::new(shared));
    assert_eq!(get(&host, "linux").unwrap().len(), LEN);
    assert!(host.open(&TreePath::new("absent")).is_err());
    let error = get(&host, "absent").unwrap_err();
    assert!(error.to_string().contains("is not there"), "{error}");
    assert_eq!(far.asked_and_sent(), (2, LEN));
}

/// Both are in the cache, and then one is not: deleted, or damaged.
#[test]
fn files_of_a_place_are_of_one_version_though_one_has_to_be_fetched_again() {
    let spoilt: [fn(&std::path::Path); 2] = [
        |path| fs::remove_file(path).unwrap(),
        |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(path, [b'!'; 1000]).unwrap();
        },
    ];
    for spoil in spoilt {
        for version in ["1", "2"] {
            let (temp, far) = (Temp::new(), Far::default());
            let put = |version: &str| {
                far.put("linux", version.repeat(2000).into(), version);
                far.put("initrd", version.repeat(1000).into(), version);
            };
            let both = || {
                let host = host(&temp, &far, &Settings::default());
                // As a search does: both are opened, and then read.
                let files = ["linux", "initrd"].map(|path| host.open(&TreePath::new(path)));
                files.map(|file| {
                    let mut bytes = Vec::new();
                    file.unwrap().into_file().unwrap().read_to_end(&mut bytes).unwrap();
                    char::from(bytes[0]).to_string()
                })
            };
            put("1");
            assert_eq!(both(), ["1", "1"]);
            let sum = crate::checksum::sha256_of("1".repeat(1000).as_bytes());
            spoil(&temp.path().join(format!("content/sha256-{sum}")));
            put(version);
            far.asked_and_sent();
            assert_eq!(both(), [version, version]);
            // What has not changed is asked for, and not sent again.
            let sent = if version == "1" { 1000 } else { 3000 };
            assert_eq!(far.asked_and_sent(), (2, sent), "version {version}");
        }
    }
}

/// The server has failed for the second one, so nothing tells its version.
#[test]
fn a_file_that_is_asked_for_later_has_the_others_asked_for_again() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    fetched(&temp, &far).unwrap();
    far.put("linux", vec![2; LEN], "2");
    far.put("initrd", vec![2; 1000], "2");
    let both = |host: &Cached| {
        let files = ["linux", "initrd"].map(|path| host.open(&TreePath::new(path)).unwrap());
        files.map(|file| file.into_file().map(drop).map_err(|error| error.to_string()))
    };
    let error = "it changed on the server, which has another version of it now".to_owned();
    assert_eq!(both(&host(&temp, &far, &Settings::default())), [Err(error), Ok(())]);
    assert_eq!(both(&host(&temp, &far, &Settings::default())), [Ok(()), Ok(())]);
    assert_eq!(fetched(&temp, &far).unwrap()[0], 2);
}

/// Nothing tells that the kernel, as long as before, is another one.
#[test]
fn a_file_of_a_server_without_versions_comes_again_with_a_new_one() {
    let (temp, far) = (Temp::new(), Far::with("linux", ""));
    fetched(&temp, &far).unwrap();
    far.put("linux", vec![2; LEN], "");
    far.put("initrd", vec![2; 1000], "");
    let host = host(&temp, &far, &Settings::default());
    let files = ["linux", "initrd"].map(|path| host.open(&TreePath::new(path)).unwrap());
    for file in files {
        let mut bytes = Vec::new();
        file.into_file().unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes[0], 2);
    }
}

#[test]
fn a_damaged_copy_is_named() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    fetched(&temp, &far).unwrap();
    let content = temp.path().join("content");
    let blob = content.join(names(content.clone()).remove(0));
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&blob, vec![0; LEN]).unwrap();
    let told = Arc::new(Told::default());
    get(&host_with_progress(&temp, &far, &told), "linux").unwrap();
    let expected = format!("warning: {URL}/linux: the cached copy was damaged and is removed");
    assert_eq!(*told.notes.lock().unwrap(), [expected]);
}

#[test]
fn cached_files_are_listed_and_pruned() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let cache = Cache::open(temp.path().into()).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    fetched(&temp, &far).unwrap();
    far.put("initrd", vec![1; 100_000], "1");
    far.change(|state| state.breaks = Some(1000));
    get(&host(&temp, &far, &Settings::default()), "initrd").unwrap_err();
    let shown = |cache: &Cache| {
        let show = |kept: super::super::CacheEntry| (kept.path, kept.here, kept.of);
        cache.list().unwrap().into_iter().map(show).collect::<Vec<_>>()
    };
    let (part, whole) =
        (("initrd".to_owned(), 1000, Some(100_000)), ("linux".to_owned(), LEN as u64, None));
    assert_eq!(shown(&cache), [part.clone(), whole.clone()]);
    // Nothing is old or without a name.
    assert_eq!(cache.prune(Some(hour)).unwrap().files, 0);
    age(&temp);
    fs::write(temp.path().join("content/sha256-00"), b"nobody's").unwrap();
    assert_eq!(cache.prune(None).unwrap().files, 1, "what has no name");
    assert_eq!(shown(&cache), [part.clone(), whole]);
    let file = host(&temp, &far, &Settings::default()).open(&TreePath::new("linux")).unwrap();
    let guest = file.into_file().unwrap();
    age(&temp);
    let pruned = cache.prune(Some(hour)).unwrap();
    assert_eq!((pruned.files, pruned.in_use), (0, 1), "a guest has it");
    drop(guest);
    let pruned = cache.prune(Some(hour)).unwrap();
    assert_eq!((pruned.files, pruned.bytes), (1, LEN as u64));
    assert_eq!(shown(&cache), [part]);
    assert_eq!(cache.prune(Some(std::time::Duration::ZERO)).unwrap().bytes, 1000);
    assert!(shown(&cache).is_empty());
    assert!(names(temp.path().join("partial")).is_empty());
}

#[test]
fn fetched_and_cached_files_have_a_checksum() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    // The sum is that of all of it, though it came in two goes.
    far.change(|state| state.breaks = Some(700_000));
    fetched(&temp, &far).unwrap_err();
    far.change(|state| state.breaks = None);
    let sum = || {
        let host = host(&temp, &far, &Settings::default());
        let sum = host.open(&TreePath::new("linux")).unwrap().sha256().unwrap();
        drop(host);
        sum
    };
    let kept = sum().expect("it was counted");
    let content = temp.path().join(format!("content/sha256-{kept}"));
    let file = LocalFile::open(&content).unwrap();
    assert_eq!(file.len(), LEN as u64);
    let checked = crate::checksum::check(&file, &kept).unwrap();
    assert_eq!(checked, crate::checksum::Checked::Right("sha256".into()));
    assert_eq!(sum(), Some(kept), "its bytes were compared with it");
}

/// The name, the length and the inode stay, as when a disk or a program changes bytes.
#[test]
fn a_file_that_was_damaged_in_place_is_replaced() {
    use std::os::unix::fs::FileExt;
    for refresh in [false, true] {
        let (temp, far) = (Temp::new(), Far::with("linux", "1"));
        let whole = fetched(&temp, &far).unwrap();
        let content = temp.path().join("content");
        let blob = content.join(names(content.clone()).remove(0));
        let checked = temp.path().join("checked").join(blob.file_name().unwrap());
        if !refresh {
            thread::sleep(std::time::Duration::from_millis(3100));
            fetched(&temp, &far).unwrap();
            assert!(checked.exists(), "it was found intact, and not just now");
        }
        let writable = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&blob, writable).unwrap();
        File::options().write(true).open(&blob).unwrap().write_at(b"!", 12345).unwrap();
        let sum = crate::checksum::sha256_of(&whole);
        let settings = Settings { refresh, ..Settings::default() };
        let file = host(&temp, &far, &settings).open(&TreePath::new("linux")).unwrap();
        assert_eq!(file.sha256().unwrap(), Some(sum.clone()), "refresh: {refresh}");
        let bytes = read_whole(&*file, LEN).unwrap().unwrap();
        assert_eq!(crate::checksum::sha256_of(&bytes), sum);
        assert_eq!(fs::read(&blob).unwrap(), whole);
        assert!(!checked.exists());
    }
}

#[test]
fn a_cache_that_others_can_write_to_is_refused() {
    for directory in ["", "content", "places", "partial", "checked"] {
        let temp = Temp::new();
        drop(Cache::open(temp.path().into()).unwrap());
        let mode = fs::Permissions::from_mode(0o770);
        fs::set_permissions(temp.path().join(directory), mode).unwrap();
        let error = Cache::open(temp.path().into()).unwrap_err().to_string();
        assert!(error.contains("others can write to it (mode 770, expected 700)"), "{error}");
        let cache = Keep::In(temp.path().into());
        let settings = Settings { cache, ..Settings::default() };
        let fetcher = super::super::Fetcher::new(settings);
        assert!(fetcher.cache().is_none());
    }
}

/// Who can rename the cache can put another one in its place.
#[test]
fn a_cache_in_a_directory_that_everybody_can_write_to_is_refused() {
    let temp = Temp::new();
    let (parent, link) = (temp.path().join("parent"), temp.path().join("link"));
    std::os::unix::fs::symlink(parent.join("below/cache"), &link).unwrap();
    let set = |mode| fs::set_permissions(&parent, fs::Permissions::from_mode(mode)).unwrap();
    drop(Cache::open(parent.join("below/cache")).unwrap());
    for directory in [parent.join("below/cache"), link] {
        set(0o777);
        let error = Cache::open(directory.clone()).unwrap_err().to_string();
        let problem = "any user can replace files in it (mode 777, expected 775 or stricter)";
        assert!(error.contains(&format!("{}': {problem}", parent.display())), "{error}");
        // With the sticky bit only an owner can rename, as in /tmp.
        for mode in [0o1777, 0o775] {
            set(mode);
            drop(Cache::open(directory.clone()).unwrap());
        }
    }
}

/// What a progress bar is told.
#[derive(Debug, Default)]
struct Told {
    /// Of each file: its bytes, those that were here already, and whether it can be resumed.
    begun: Mutex<Vec<(u64, u64, bool)>>,
    notes: Mutex<Vec<String>>,
}

impl FetchProgress for Told {
    fn begin(&self, _: &str, total: u64, already: u64, resumes: bool) {
        self.begun.lock().unwrap().push((total, already, resumes));
    }

    fn advance(&self, _: u64) {}

    fn end(&self, _: bool) {}

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.into());
    }
}

/// A host as [`host`], that tells how it goes.
fn host_with_progress(temp: &Temp, far: &Far, told: &Arc<Told>) -> Cached {
    let cache = Cache::open(temp.path().into()).unwrap();
    let (place, watch) = (Place::Http(URL.into()), Arc::clone(told));
    let shared = Shared::new(&place, &Settings::default(), watch, Some(cache));
    shared.opened.set(Box::new(far.clone())).unwrap();
    Cached::of(Arc::new(shared))
}

fn partial_file(temp: &Temp) -> PathBuf {
    let partial = temp.path().join("partial");
    let data = names(partial.clone()).into_iter().find(|name| !name.contains('.')).unwrap();
    partial.join(data)
}

#[test]
fn another_version_of_the_same_length_comes_again() {
    for (before, after) in [("1", "2"), ("", "")] {
        let (temp, far) = (Temp::new(), Far::with("linux", before));
        fetched(&temp, &far).unwrap();
        far.put("linux", vec![9; LEN], after);
        age(&temp);
        assert!(fetched(&temp, &far).unwrap() == vec![9; LEN], "{before:?}, {after:?}");
    }
}

#[test]
fn a_file_that_changed_but_not_in_length_is_an_error_once() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    host(&temp, &far, &Settings::default()).open(&TreePath::new("linux")).unwrap();
    far.put("linux", vec![9; LEN], "2");
    let error = fetched(&temp, &far).unwrap_err();
    assert!(error.to_string().contains("it changed on the server"), "{error}");
    assert!(fetched(&temp, &far).unwrap() == vec![9; LEN]);
}

/// Both have read the record before either has fetched.
#[test]
fn what_another_process_has_fetched_is_used_if_the_version_tells_that_it_is_the_same() {
    for (version, sent) in [("1", 0), ("", LEN)] {
        let (temp, far) = (Temp::new(), Far::with("linux", version));
        let [first, second] = [0, 1].map(|_| host(&temp, &far, &Settings::default()));
        get(&first, "linux").unwrap();
        far.asked_and_sent();
        assert_eq!(get(&second, "linux").unwrap().len(), LEN);
        assert_eq!(far.asked_and_sent(), (1, sent), "version {version:?}");
    }
}

#[test]
fn a_file_as_long_as_the_limit_is_fetched() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let limited = Settings { limit: LEN as u64, ..Settings::default() };
    assert_eq!(get(&host(&temp, &far, &limited), "linux").unwrap().len(), LEN);
}

#[test]
fn a_piece_of_a_large_file_is_all_that_comes_and_a_small_file_comes_whole() {
    let small = usize::try_from(SMALL).unwrap();
    for (len, sent) in [(small, small), (small + 1, 10)] {
        let (temp, far) = (Temp::new(), Far::default());
        far.put("linux", vec![5; len], "1");
        let host = host(&temp, &far, &Settings::default());
        let file = host.open(&TreePath::new("linux")).unwrap();
        let mut piece = [0; 10];
        assert_eq!(file.read_at(&mut piece, 20).unwrap(), 10);
        assert_eq!((piece, far.asked_and_sent().1), ([5; 10], sent), "{len} bytes");
        assert_eq!(names(temp.path().join("content")).is_empty(), len > small);
    }
}

#[test]
fn a_label_is_known_offline() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let online = host(&temp, &far, &Settings::default());
    assert_eq!((online.name(), online.label()), (URL, None));
    online.shared.note(LABEL, Answer::Label(Some("Fedora 42".into())));
    drop(online);
    assert_eq!(host(&temp, &far, &offline()).label(), Some("Fedora 42"));
}

#[test]
fn offline_a_place_that_was_never_asked_is_an_error() {
    let temp = Temp::new();
    let cache = Keep::In(temp.path().into());
    let fetcher = crate::Fetcher::new(Settings { cache, ..offline() });
    let error = fetcher.place(&Place::Http(URL.into())).unwrap_err();
    assert_eq!(error.hint(), "run it once without -offline");
}

#[test]
fn a_place_on_this_host_has_no_cache() {
    let (temp, tree) = (Temp::new(), Temp::of(&["linux"]));
    let directory = temp.path().join("cache");
    let cache = Keep::In(directory.clone());
    let fetcher = crate::Fetcher::new(Settings { cache, ..Settings::default() });
    let place = Place::Local(tree.path().into());
    assert!(fetcher.place(&place).unwrap().open(&TreePath::new("linux")).is_ok());
    let file = fetcher.file(&Place::Local(tree.path().join("linux"))).unwrap();
    assert_eq!(file.len(), 5);
    fetcher.forget(&place);
    assert!(!directory.exists());
}

#[test]
fn offline_nothing_is_forgotten() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    fetched(&temp, &far).unwrap();
    let cache = Keep::In(temp.path().into());
    crate::Fetcher::new(Settings { cache, ..offline() }).forget(&Place::Http(URL.into()));
    assert_eq!(get(&host(&temp, &far, &offline()), "linux").unwrap().len(), LEN);
}

/// As a process leaves it that was killed before it gave the file its name.
#[test]
fn a_part_that_is_complete_is_not_fetched_again() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    far.change(|state| state.breaks = Some(1000));
    fetched(&temp, &far).unwrap_err();
    far.change(|state| state.breaks = None);
    let whole = far.change(|state| state.files["linux"].0.clone());
    fs::write(partial_file(&temp), &whole).unwrap();
    far.asked_and_sent();
    assert!(fetched(&temp, &far).unwrap() == whole);
    assert_eq!(far.asked_and_sent().1, 0);
}

#[test]
fn progress_says_what_is_here_and_whether_the_rest_can_come_later() {
    for (version, already) in [("1", 1000), ("", 0)] {
        let (temp, far) = (Temp::new(), Far::with("linux", version));
        let told = Arc::new(Told::default());
        far.change(|state| state.breaks = Some(1000));
        get(&host_with_progress(&temp, &far, &told), "linux").unwrap_err();
        far.change(|state| state.breaks = None);
        get(&host_with_progress(&temp, &far, &told), "linux").unwrap();
        let (len, resumes) = (LEN as u64, !version.is_empty());
        assert_eq!(*told.begun.lock().unwrap(), [(len, 0, resumes), (len, already, resumes)]);
    }
}

#[test]
fn waiting_for_another_download_is_reported() {
    let (temp, told) = (Temp::new(), Told::default());
    let cache = Cache::open(temp.path().into()).unwrap();
    let first = Partial::lock(&cache, URL, "linux", &told).unwrap();
    assert!(told.notes.lock().unwrap().is_empty());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    thread::scope(|scope| {
        let second = scope.spawn(|| Partial::lock(&cache, URL, "linux", &told).map(drop));
        while told.notes.lock().unwrap().is_empty() && std::time::Instant::now() < until {
            thread::sleep(std::time::Duration::from_millis(5));
        }
        drop(first);
        second.join().unwrap().unwrap();
    });
    let note = "http://far.example/tree: waiting for another chukka that is fetching linux";
    assert_eq!(*told.notes.lock().unwrap(), [note]);
}

#[test]
fn only_files_whose_name_and_length_are_right_are_listed() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let cache = Cache::open(temp.path().into()).unwrap();
    fetched(&temp, &far).unwrap();
    let content = temp.path().join("content");
    let blob = content.join(names(content.clone()).remove(0));
    let record = temp.path().join("places").join(format!("{}.json", name_of(URL)));
    let (whole, text) = (fs::read(&blob).unwrap(), fs::read_to_string(&record).unwrap());
    assert_eq!(cache.list().unwrap().len(), 1);
    let sum = blob.file_name().unwrap().to_str().unwrap().replace("sha256-", "");
    for other in ["z".repeat(64), "ab".into()] {
        fs::write(content.join(format!("sha256-{other}")), &whole).unwrap();
        fs::write(&record, text.replace(&sum, &other)).unwrap();
        assert_eq!(cache.list().unwrap(), [], "{other}");
    }
    fs::write(&record, &text).unwrap();
    fs::remove_file(&blob).unwrap();
    assert_eq!(cache.list().unwrap(), [], "it is gone");
    fs::write(&blob, &whole[1..]).unwrap();
    assert_eq!(cache.list().unwrap(), [], "it is too short");
}

#[test]
fn a_file_that_was_renamed_or_replaced_is_no_longer_at_its_path() {
    let temp = Temp::of(&["a"]);
    let path = temp.path().join("a");
    let file = File::open(&path).unwrap();
    assert!(super::super::cache::is_at(&file, &path));
    fs::rename(&path, temp.path().join("b")).unwrap();
    assert!(!super::super::cache::is_at(&file, &path));
    temp.file("a", b"another");
    assert!(!super::super::cache::is_at(&file, &path));
}

#[test]
fn a_cache_of_another_user_is_refused() {
    // Only root can give a directory away.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let temp = Temp::new();
    std::os::unix::fs::chown(temp.path(), Some(12345), None).unwrap();
    let error = Cache::open(temp.path().into()).unwrap_err().to_string();
    assert!(error.contains("it belongs to the user 12345, expected 0"), "{error}");
}

#[test]
fn places_do_not_share_a_record() {
    let temp = Temp::new();
    let cache = Cache::open(temp.path().into()).unwrap();
    for place in ["http://a", "http://b"] {
        let mut record = Record::of(place);
        record.note("linux", Answer::Refused(place.into()));
        record.save(&cache).unwrap();
    }
    for place in ["http://a", "http://b"] {
        let record = Record::load(&cache, place);
        assert_eq!(record.answers["linux"].said, Answer::Refused(place.into()));
    }
}

#[test]
fn pruning_leaves_a_part_that_is_fetched_and_removes_one_that_nobody_goes_on_with() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let cache = Cache::open(temp.path().into()).unwrap();
    far.change(|state| state.breaks = Some(1000));
    fetched(&temp, &far).unwrap_err();
    let part = partial_file(&temp);
    let eight_days = std::time::Duration::from_secs(8 * 86_400);
    assert_eq!(cache.prune(None).unwrap().files, 0, "it is new");
    let old = std::time::SystemTime::now() - eight_days;
    File::options().write(true).open(&part).unwrap().set_modified(old).unwrap();
    assert!(cache.list().unwrap()[0].age >= eight_days);
    let lock = super::super::cache::writable(&part.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let pruned = cache.prune(None).unwrap();
    assert_eq!((pruned.files, pruned.in_use), (0, 1));
    drop(lock);
    let pruned = cache.prune(None).unwrap();
    assert_eq!((pruned.files, pruned.bytes, pruned.in_use), (1, 1000, 0));
    assert!(names(temp.path().join("partial")).is_empty());
}

#[test]
fn pruning_removes_checks_of_files_that_are_gone() {
    let (temp, far) = (Temp::new(), Far::with("linux", "1"));
    let cache = Cache::open(temp.path().into()).unwrap();
    fetched(&temp, &far).unwrap();
    let kept = names(temp.path().join("content")).remove(0);
    temp.file(&format!("checked/{kept}"), b"");
    temp.file("checked/sha256-00", b"");
    cache.prune(None).unwrap();
    assert_eq!(names(temp.path().join("checked")), [kept]);
}
