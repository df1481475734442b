use chukka_tests::{job::*, lab::*, *};
use std::time::Instant;
fn main() {
    let a: Vec<usize> = std::env::args().skip(1).map(|x| x.parse().unwrap()).collect();
    let t = Instant::now();
    let lab = Lab::start(&Options { cpus: a[0], slots: a[1], ..Options::default() }).unwrap();
    println!("up {:?}", t.elapsed());
    let k = assets::cloud().unwrap().vmlinuz;
    let i = guest::initrd().unwrap();
    let q = binaries::chukka().unwrap();
    let w = format!(
        "{} -m 256 -nographic -no-reboot -kernel {} -initrd {} -smp {} -append",
        q.display(),
        k.display(),
        i.display(),
        a[3]
    );
    let mut c: Vec<String> = w.split(' ').map(String::from).collect();
    c.push("console=ttyS0 quiet panic=-1".into());
    let job = Job::new(c).need(&k).need(&i).need(&q).mark(guest::MARKER).timeout_secs(60);
    lab.run(&Job::shell("true").need(&k).need(&i).need(&q), &mut |_| {}).unwrap();
    let t = Instant::now();
    std::thread::scope(|s| {
        for n in 0..a[2] {
            let (lab, job) = (&lab, &job);
            s.spawn(move || {
                let r = lab.run(job, &mut |_| {}).unwrap();
                println!(
                    "{n} {:?} {:?} mark {:?}",
                    r.status,
                    r.elapsed,
                    r.mark(guest::MARKER).map(|m| m.ns / 1_000_000)
                );
            });
        }
    });
    println!("cpus {} slots {} smp {}: {} jobs in {:?}", a[0], a[1], a[3], a[2], t.elapsed());
}
