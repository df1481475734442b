//! What the user may name kernel and initrd by: a pair has four spellings (xenpvnetboot's
//! documentation has them), and they mean the same.

use std::path::Path;

use super::{Installer, Query, Tree, TreeError, content};
use crate::arguments::{Origin, package_source};
use crate::place::{Place, PlaceError};
use crate::testing::{Remote, Temp};
use crate::tree::open_url;
use storage::{FileError, FileTree, RandomAccess, TreePath};

const KERNEL: &str = "linux/releases/43/os/images/pxeboot/vmlinuz";
const INITRD: &str = "linux/releases/43/os/images/pxeboot/initrd.img";

/// What the host has, by its URLs; each file holds the last three names of its own path.
fn fetch(place: &Place) -> Result<Box<dyn RandomAccess>, PlaceError> {
    let url = place.to_string();
    let path = url.strip_prefix("http://host/").unwrap_or("elsewhere");
    let host = Remote::of(&[]);
    let host = host.file(KERNEL, b"images/pxeboot/vmlinuz");
    let host = host.file(INITRD, b"images/pxeboot/initrd.img");
    Ok(host.open(&TreePath::new(path))?)
}

fn wanted<'a>(kernel: &'a str, initrd: &'a str) -> Query<'a> {
    let named = |path: &'a str| Some(Path::new(path)).filter(|path| !path.as_os_str().is_empty());
    Query { kernel: named(kernel), initrd: named(initrd), elsewhere: &fetch, ..Query::default() }
}

fn whole_host() -> Remote {
    let host = Remote::of(&[]).file(KERNEL, b"images/pxeboot/vmlinuz");
    host.file(INITRD, b"images/pxeboot/initrd.img")
}

fn tree() -> Remote {
    Remote::of(&["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"])
}

#[test]
fn four_spellings_of_one_pair() {
    let pair = ["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"];
    let urls = [KERNEL, INITRD].map(|path| format!("http://host/{path}"));
    for (place, kernel, initrd) in [
        (whole_host(), KERNEL, INITRD),
        (tree(), pair[0], pair[1]),
        (tree(), &*urls[0], &*urls[1]),
        (Remote::of(&[]), &urls[0], &urls[1]),
        (tree(), "", ""),
        // One is enough where the other is known to belong to it.
        (whole_host(), KERNEL, ""),
        (whole_host(), "", INITRD),
        (tree(), pair[0], ""),
        (tree(), "", pair[1]),
        (tree(), pair[0], &urls[1]),
        (tree(), &urls[0], pair[1]),
    ] {
        let found = Tree::find(&place, wanted(kernel, initrd)).unwrap();
        assert_eq!(content(&found.kernel), pair[0], "{kernel} {initrd}");
        assert_eq!(content(&found.initrds[0]), pair[1], "{kernel} {initrd}");
    }
    // Without a location.
    for (url, expected) in urls.iter().zip(pair) {
        let place = Place::parse(url.as_ref()).unwrap();
        let bytes = open_url(&place, "kernel", &fetch).unwrap();
        assert_eq!(storage::read_whole(&*bytes, 100).unwrap().unwrap(), expected.as_bytes());
    }
}

#[test]
fn a_tree_below_the_place_is_what_its_installer_is_told_of() {
    let found = Tree::find(&whole_host(), wanted(KERNEL, INITRD)).unwrap();
    assert_eq!(found.installer, Installer::Anaconda);
    assert_eq!(found.root.to_string(), "linux/releases/43/os");
    let place = Place::parse("http://host/".as_ref()).unwrap();
    let url = place.guest_url(&found.root).unwrap();
    let source = package_source(found.installer, &found.release).unwrap();
    let words = source.words(Origin::Tree(&url), "vmlinuz").unwrap();
    assert_eq!(words, ["inst.repo=http://host/linux/releases/43/os"]);
    // Its .treeinfo counts too.
    let info = "[general]\nfamily = CentOS\nversion = 6.10\n[checksums]\nimages/pxeboot/vmlinuz = 0000000000000000000000000000000000000000000000000000000000000000\n";
    let with_info = whole_host().file("linux/releases/43/os/.treeinfo", info.as_bytes());
    let error = Tree::find(&with_info, wanted(KERNEL, INITRD)).unwrap_err().to_string();
    assert!(error.ends_with("by linux/releases/43/os/.treeinfo"), "{error}");
}

#[test]
fn a_path_is_one_of_the_place_however_it_begins() {
    for (kernel, initrd) in [
        ("/images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"),
        ("./images//pxeboot/vmlinuz", "../images/pxeboot/initrd.img"),
    ] {
        let found = Tree::find(&tree(), wanted(kernel, initrd)).unwrap();
        assert_eq!(content(&found.kernel), "images/pxeboot/vmlinuz");
    }
    let error = Tree::find(&tree(), wanted("/etc/passwd", "")).unwrap_err().to_string();
    assert!(error.contains("'http://host/tree/etc/passwd' is not there"), "{error}");
}

#[test]
fn a_url_that_gives_nothing_is_an_error_whatever_the_place_has() {
    let error = Tree::find(&tree(), wanted("http://host/gone", "")).unwrap_err();
    assert_eq!(error.to_string(), "The kernel given by -kernel cannot be used");
    assert!(error.hint().contains("the file itself"), "{}", error.hint());
    for (url, word) in [("gopher://h/x", "gopher: is not supported"), ("http://", "no host")] {
        let error = Tree::find(&tree(), wanted("", url)).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(word), "{cause}");
        assert!(matches!(error, TreeError::Url { role: "initrd", .. }));
    }
}

#[test]
fn a_file_url_needs_no_host_at_all() {
    let temp = Temp::of(&["k", "i"]);
    let url = |name: &str| format!("file://{}/{name}", temp.path().display());
    let place = Remote::of(&[]);
    let (kernel, initrd) = (url("k"), url("i"));
    let by_default = Query::default();
    let named = wanted(&kernel, &initrd);
    let wanted = Query { elsewhere: by_default.elsewhere, ..named };
    let found = Tree::find(&place, wanted).unwrap();
    assert_eq!((content(&found.kernel).as_str(), content(&found.initrds[0]).as_str()), ("k", "i"));
    let gone = Place::Local(temp.path().join("gone"));
    let error = open_url(&gone, "initrd", by_default.elsewhere).unwrap_err();
    let TreeError::Elsewhere { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(source, FileError::Missing(_)));
    temp.file("page", b"<html>");
    let page = Place::Local(temp.path().join("page"));
    let error = open_url(&page, "initrd", by_default.elsewhere).unwrap_err().to_string();
    assert!(error.ends_with("is an HTML or XML page, expected an initrd"), "{error}");
}
