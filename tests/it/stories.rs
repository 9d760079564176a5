//! Administrators' stories, told with the program as they run it: `demo`, `dev`, client commands, real workers that
//! really die, and a simulated machine whose own log is believed.

mod boot;
mod command;
mod configuration;
mod crash;
mod demo;
mod enabled;
mod image;
mod limit;
mod load;
mod option;
mod ordered;
mod outage;
mod power_off;
mod replicas;
mod rolling;
mod take_over;
