use super::*;

const NEVADA: &str = "boot/platform/i86xpv/kernel/unix";
const LATER: &str = "platform/i86xpv/kernel/unix";

fn nevada(extra: &'static str, media: Media<'static>) -> Inputs<'static> {
    let (system, kernel) = (System::Nevada, NEVADA);
    Inputs { system, kernel, extra, no_window: false, media, answers: None }
}

fn later(extra: &'static str, media: Media<'static>) -> Inputs<'static> {
    let (system, kernel) = (System::OpenSolaris, LATER);
    Inputs { system, kernel, extra, no_window: false, media, answers: None }
}

#[test]
fn the_user_s_words_are_sorted() {
    let sorted = sorted("-k -B a=1,b=2 -d kernel/x -v -m milestone=none -Bc='1,2' -");
    assert_eq!(sorted.options, "kdv");
    assert_eq!(sorted.properties, ["a=1", "b=2", "c='1,2'"]);
    assert_eq!(sorted.words, ["kernel/x", "-"]);
    assert_eq!(super::sorted("-B"), Extra::default());
    assert_eq!(super::sorted("-m"), Extra::default());
}

#[test]
fn nevada_from_a_medium() {
    let mut inputs = nevada("", Media::Cdrom);
    assert_eq!(command_line(&inputs), "/platform/i86xpv/kernel/unix - -B install_media=cdrom");
    inputs.no_window = true;
    assert_eq!(
        command_line(&inputs),
        "/platform/i86xpv/kernel/unix - nowin -B install_media=cdrom"
    );
    inputs.extra = "-k -d -v -B console=text -B x=1 word";
    assert_eq!(
        command_line(&inputs),
        "/platform/i86xpv/kernel/unix -kdv -B console=text,x=1 word - nowin -B install_media=cdrom"
    );
    let kernel = "boot/platform/i86xpv/kernel/amd64/unix";
    let line = command_line(&Inputs { kernel, ..nevada("", Media::Cdrom) });
    assert!(line.starts_with("/platform/i86xpv/kernel/amd64/unix - "), "{line}");
}

const GUEST: Guest<'_> =
    Guest { address: "192.168.0.7", router: Some("192.168.0.1"), mac: Some("00:16:3e:0a:01:f0") };

fn nfs(guest: Option<Guest<'static>>) -> Media<'static> {
    Media::Nfs { server: "192.168.0.2", path: "/export/nv", guest }
}

#[test]
fn nevada_by_nfs_where_the_guest_s_name_has_an_address() {
    assert_eq!(
        command_line(&nevada("subnet-mask=255.255.0.0", nfs(Some(GUEST)))),
        "/platform/i86xpv/kernel/unix - -B install_media=192.168.0.2:/export/nv,host-ip=192.168.0.7,\
         subnet-mask=255.255.0.0,router-ip=192.168.0.1,boot-mac=0:16:3e:a:1:f0"
    );
    let guest = Guest { router: None, mac: None, ..GUEST };
    assert_eq!(
        command_line(&nevada("", nfs(Some(guest)))),
        "/platform/i86xpv/kernel/unix - -B install_media=192.168.0.2:/export/nv,host-ip=192.168.0.7"
    );
}

#[test]
fn nevada_by_nfs_where_it_has_none() {
    let inputs = Inputs { no_window: true, ..nevada("", nfs(None)) };
    assert_eq!(command_line(&inputs), "/platform/i86xpv/kernel/unix - nowin dhcp");
}

#[test]
fn nevada_with_jumpstart() {
    let answers = Some(Answers::JumpStart { server: "192.168.0.2", path: "/export/js" });
    let inputs = Inputs { answers, ..nevada("", nfs(Some(Guest { mac: None, ..GUEST }))) };
    assert_eq!(
        command_line(&inputs),
        "/platform/i86xpv/kernel/unix - install -B install_media=192.168.0.2:/export/nv,\
         host-ip=192.168.0.7,router-ip=192.168.0.1,sysid_config=192.168.0.2:/export/js,\
         install_config=192.168.0.2:/export/js"
    );
    let inputs = Inputs { answers, no_window: true, ..nevada("", Media::Cdrom) };
    assert_eq!(
        command_line(&inputs),
        "/platform/i86xpv/kernel/unix - nowin install -B install_media=cdrom,\
         sysid_config=192.168.0.2:/export/js,install_config=192.168.0.2:/export/js"
    );
}

#[test]
fn opensolaris_has_no_words_for_an_installer() {
    for media in [Media::Cdrom, nfs(Some(GUEST)), Media::Other] {
        assert_eq!(command_line(&later("", media)), "/platform/i86xpv/kernel/unix");
    }
    assert_eq!(
        command_line(&later("-kd -B livemode=text -v", Media::Cdrom)),
        "/platform/i86xpv/kernel/unix -kdv -B livemode=text"
    );
}

#[test]
fn the_automated_installer_by_the_network() {
    let pairs = ["install_service=osol", "install_debug=enable", "livessh=enable"];
    let url = "http://192.168.0.2:5555/export/ai";
    let inputs = Inputs { answers: Some(Answers::Ai(&pairs)), ..later("", Media::Http(url)) };
    assert_eq!(
        command_line(&inputs),
        "/platform/i86xpv/kernel/unix -B install_service=osol,install_debug=enable,livessh=enable,\
         install_media=http://192.168.0.2:5555/export/ai,network-interface=xnf0,xpv-hcp=dhcp,\
         livemode=text"
    );
    // A property that the user gave is not added again.
    let pairs = ["install_media=http://other", "livemode=graphics"];
    let inputs = Inputs {
        answers: Some(Answers::Ai(&pairs)),
        ..later("-B network-interface=net0", Media::Http(url))
    };
    assert_eq!(
        command_line(&inputs),
        "/platform/i86xpv/kernel/unix -B network-interface=net0,install_media=http://other,\
         livemode=graphics,xpv-hcp=dhcp"
    );
}

#[test]
fn a_fully_virtualized_guest_has_a_virtio_card() {
    let url = "http://192.168.0.2:5555/export/ai";
    let inputs = Inputs {
        kernel: "platform/i86pc/kernel/amd64/unix",
        answers: Some(Answers::Ai(&[])),
        ..later("", Media::Http(url))
    };
    assert_eq!(
        command_line(&inputs),
        "/platform/i86pc/kernel/amd64/unix -B install_media=http://192.168.0.2:5555/export/ai,\
         network-interface=vioif0,livemode=text"
    );
}

#[test]
fn the_automated_installer_from_its_medium() {
    let ai = |pairs| Inputs { answers: Some(Answers::Ai(pairs)), ..later("", Media::Cdrom) };
    assert_eq!(
        command_line(&ai(&[])),
        "/platform/i86xpv/kernel/unix -B media_boot=true,auto-shutdown=enable,aimanifest=default,\
         network-interface=xnf0,xpv-hcp=dhcp,livemode=text"
    );
    assert_eq!(
        command_line(&ai(&["aimanifest=http://h/m.xml", "auto-shutdown=disable"])),
        "/platform/i86xpv/kernel/unix -B aimanifest=http://h/m.xml,auto-shutdown=disable,\
         media_boot=true,network-interface=xnf0,xpv-hcp=dhcp,livemode=text"
    );
}

#[test]
fn an_installed_system_in_a_zfs_pool() {
    assert_eq!(
        zfs_root("/platform/i86xpv/kernel/amd64/unix", "rpool/57", "/xpvd/xdf@51712:a"),
        "/platform/i86xpv/kernel/amd64/unix -B zfs-bootfs=rpool/57,bootpath='/xpvd/xdf@51712:a'"
    );
}

#[test]
fn a_comma_separates_properties_except_inside_quotes() {
    for (list, parts) in [
        ("a=1,b=2", &["a=1", "b=2"][..]),
        ("bootpath='/x,y',b=2", &["bootpath='/x,y'", "b=2"]),
        ("a=\"it's,\",b=2", &["a=\"it's,\"", "b=2"]),
        (",,a=1,", &["a=1"]),
    ] {
        assert_eq!(properties(list).collect::<Vec<_>>(), parts, "{list}");
    }
}

#[test]
fn an_octet_of_zero_stays_zero() {
    let guest = Guest { router: None, mac: Some("00:0:3e:0a:1:f0"), ..GUEST };
    let line = command_line(&nevada("", nfs(Some(guest))));
    assert!(line.ends_with(",boot-mac=0:0:3e:a:1:f0"), "{line}");
}
