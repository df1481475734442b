//! How often a place that is far away is asked, and when no more.

use std::collections::BTreeMap;
use std::io;

use super::super::layouts::LAYOUTS;
use super::{Query, Tree, TreeError, content};
use crate::fetch::{Keep, Settings};
use crate::remote::Net;
use crate::testing::http::{Reply, Server};
use crate::testing::{Remote, Temp};
use crate::{Fetcher, Place, menu};
use storage::FileError;

#[test]
fn each_path_is_asked_for_once() {
    let remote = Remote::of(&["README"]);
    Tree::find(&remote, Query::default()).unwrap_err();
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for path in remote.asked().iter() {
        *times.entry(path.clone()).or_default() += 1;
    }
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    // An initrd is asked for where there is a kernel only.
    assert!(!times.keys().any(|path| LAYOUTS.iter().any(|row| row.initrd == path)), "{times:?}");
}

#[test]
fn a_tree_with_a_treeinfo_takes_three_questions() {
    let text = super::TREEINFO;
    let remote = Remote::of(&["other/vmlinuz", "other/initrd.img"]);
    let remote = remote.file(".treeinfo", text.as_bytes());
    Tree::find(&remote, Query::default()).unwrap();
    assert_eq!(*remote.asked(), [".treeinfo", "other/vmlinuz", "other/initrd.img"]);
}

#[test]
fn a_host_that_does_not_answer_ends_the_search() {
    let mut remote = Remote::of(&[]);
    remote.answer = Some(|path| Some(FileError::failure(path, "no answer", "is it up?")));
    let error = Tree::find(&remote, Query::default()).unwrap_err();
    assert_eq!(remote.asked().len(), 1);
    assert_eq!(
        (error.to_string().as_str(), error.hint().as_str()),
        ("Cannot read '.treeinfo'", "is it up?")
    );
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "no answer");
    assert!(matches!(error, TreeError::Source(_)));

    // Also in the middle of it.
    remote.asked().clear();
    remote.answer = Some(|path| {
        let source = io::ErrorKind::ConnectionReset.into();
        path.starts_with("images/").then(|| FileError::Io { name: path.into(), source })
    });
    Tree::find(&remote, Query::default()).unwrap_err();
    assert_eq!(remote.asked().last().unwrap(), "images/pxeboot/vmlinuz");
}

#[test]
fn a_server_that_denies_missing_files_is_searched() {
    let mut remote = Remote::of(&["isolinux/vmlinuz", "isolinux/initrd.img"]);
    remote.answer = Some(|path| {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, "HTTP 403");
        let refused = FileError::Io { name: path.into(), source };
        (!path.starts_with("isolinux/")).then_some(refused)
    });
    let tree = Tree::find(&remote, Query::default()).unwrap();
    assert_eq!(content(&tree.kernel), "isolinux/vmlinuz");
    // It is told that it was not just absent.
    let look = tree.attempts.iter().find(|attempt| attempt.what == ".treeinfo").unwrap();
    assert_eq!(look.found, "Cannot read '.treeinfo': HTTP 403");
    remote.answer = Some(|path| {
        let source = io::ErrorKind::PermissionDenied.into();
        path.starts_with(".tree").then(|| FileError::Io { name: path.into(), source })
    });
    assert!(Tree::find(&remote, Query::default()).is_ok());
}

#[test]
fn a_place_without_lists_says_so_where_nothing_is_found() {
    let error = Tree::find(&Remote::of(&[]), Query::default()).unwrap_err().to_string();
    assert!(error.contains("in 'http://host/tree'; it has no directory listing; tried"), "{error}");
}

/// Whether the server says how long it is, or not; with a cache, and without one.
#[test]
fn a_text_without_end_is_not_fetched_and_not_used() {
    const MORE: &str = "[general]\nfamily = Fedora and more of it, which nobody is going to read\n";
    for head in ["", "Content-Length: 9000000000000\r\n"] {
        let server = Server::new(move |request, _| match request.target() {
            "/images/pxeboot/vmlinuz" | "/images/pxeboot/initrd.img" => Reply::new(200, "x"),
            "/" | "/.treeinfo" | "/treeinfo" | "/images/pxeboot/SHA256SUMS" | "/.discinfo" => {
                Reply::endless(&format!("HTTP/1.1 200 Said\r\n{head}\r\n"), MORE)
            }
            _ => Reply::new(404, ""),
        });
        let temp = Temp::new();
        for cache in [Keep::No, Keep::In(temp.path().into())] {
            let fetcher = Fetcher::new(Settings { cache, ..Settings::default() });
            let place = fetcher.place(&Place::Http(server.url("/"))).unwrap();
            let found = Tree::find(&*place, Query::default()).unwrap();
            let treeinfo = found.attempts.iter().find(|attempt| attempt.what == ".treeinfo");
            let treeinfo = treeinfo.unwrap();
            assert_eq!(treeinfo.found, "longer than 1048576 bytes, not used");
            assert_eq!(content(&found.kernel), "x");
        }
    }
}

#[test]
fn no_more_of_a_menu_without_end_is_taken_than_would_be_read() {
    let server = Server::new(|request, _| match request.target() {
        "/isolinux/isolinux.cfg" => Reply::endless("HTTP/1.1 200 Said\r\n\r\n", "# nothing\n"),
        "/boot/grub/grub.cfg" => Reply::new(200, "menuentry A { linux /k\n }\n"),
        "/k" => Reply::new(200, "x"),
        _ => Reply::new(404, ""),
    });
    let net = Net { unannounced: 4 << 20, ..Net::default() };
    let fetcher = Fetcher::new(Settings { cache: Keep::No, net, ..Settings::default() });
    let place = fetcher.place(&Place::Http(server.url("/"))).unwrap();
    let found = Tree::find(&*place, Query::default()).unwrap();
    assert_eq!(content(&found.kernel), "x");
    let says = "isolinux/isolinux.cfg was not read: it has more than 2097152 bytes";
    assert!(found.warnings.iter().any(|warning| warning.contains(says)), "{:?}", found.warnings);
}

/// Nor of what a menu includes, asks for in a condition, or searches for.
#[test]
fn no_more_of_an_included_file_without_end_is_taken_than_would_be_read() {
    const MORE: &str = "# nothing\n";
    let grub = |commands: &str| format!("{commands}\nmenuentry A {{ linux /k\n }}\n");
    let told = "/more was not read: it has more than 2097152 bytes";
    for (path, menu, told) in [
        ("/boot/grub/grub.cfg", grub("source /more"), Some(told)),
        ("/boot/grub/grub.cfg", grub("if [ -s /more ]; then true; fi"), None),
        ("/boot/grub/grub.cfg", grub("search --file /more --set=root"), None),
        ("/boot/grub/grub.cfg", grub("if cmp /more /k; then true; fi"), None),
        ("/isolinux/isolinux.cfg", "include /more\nlabel A\nkernel /k\n".into(), Some(told)),
    ] {
        let text = menu.clone();
        let server = Server::new(move |request, _| match request.target() {
            "/more" => Reply::endless("HTTP/1.1 200 Said\r\n\r\n", MORE),
            "/k" => Reply::new(200, "x"),
            target if target == path => Reply::new(200, text.clone()),
            _ => Reply::new(404, ""),
        });
        let net = Net { unannounced: 64 << 20, ..Net::default() };
        let fetcher = Fetcher::new(Settings { cache: Keep::No, net, ..Settings::default() });
        let place = fetcher.place(&Place::Http(server.url("/"))).unwrap();
        let found = Tree::find(&*place, Query::default()).unwrap();
        assert_eq!(content(&found.kernel), "x", "{menu}");
        assert!(server.asked().iter().any(|asked| asked.starts_with("/more")), "{menu}");
        let sent = server.most_sent();
        assert!(sent < 32 << 20, "{menu}: {sent} bytes were sent");
        let warnings = found.warnings.join("\n");
        assert!(told.is_none_or(|told| warnings.contains(told)), "{menu}: {warnings}");
    }
}

/// A file that is named by its own URL, as a menu is.
#[test]
fn no_more_of_a_short_file_without_end_is_taken_than_would_be_read() {
    let server = Server::new(|_, _| Reply::endless("HTTP/1.1 200 Said\r\n\r\n", "# nothing\n"));
    let net = Net { unannounced: 64 << 20, ..Net::default() };
    let temp = Temp::new();
    for cache in [Keep::No, Keep::In(temp.path().into())] {
        let fetcher = Fetcher::new(Settings { cache, net: net.clone(), ..Settings::default() });
        let file = fetcher.short_file(&Place::Http(server.url("/menu")), 1 << 20).unwrap();
        assert_eq!((file.len(), file.is_cut()), ((1 << 20) + 1, true));
        // A page for a directory may have no end either.
        let volumes = menu::volumes(&fetcher, &Place::Http(server.url("/disk"))).unwrap();
        assert_eq!(volumes.len(), 1);
    }
    let sent = server.most_sent();
    assert!(sent < 32 << 20, "{sent} bytes were sent");
}
