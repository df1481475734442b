//! The first process of the lab's outer machine.

fn main() {
    chukka_tests::agent::main()
}
