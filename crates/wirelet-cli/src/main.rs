//! The program `wirelet`.
mod arguments;
mod exit;
mod log;
mod shown;
mod sizes;
mod demo {
    pub(crate) mod json;
}
mod serve {
    pub(crate) mod console;
    pub(crate) mod status;
}
fn main() {
    let a = <arguments::Arguments as clap::Parser>::parse();
    println!("{a:?}");
}
