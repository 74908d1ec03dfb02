//! Lets the worker find libtorch without LD_LIBRARY_PATH: first where `make install` puts it,
//! relative to the worker, then where it was when the worker was linked.

fn main() {
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,$ORIGIN/../../lib/zimaged/torch/lib");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
