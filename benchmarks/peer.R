# R's survival as a peer of the benchmarks: reads commands from standard input, one a line, and answers each with one
# line of numbers, the first of them the seconds that the fit took here.
#   load FOLDER N Q    columns of N doubles each: time, event, cause, entry, and x (N x Q, by column)
#   cox, cox_entry     coefficients, then standard errors; cox_check, cox_entry_check: the same, iterated to the end
#   km, aj             survival, or incidence of cause 1, at three times, then its standard errors
suppressMessages(library(survival))
input <- file("stdin")
open(input)
answer <- function(values) { cat(sprintf("%.17g", values), "\n"); flush(stdout()) }
timed <- function(run) { invisible(gc()); start <- proc.time()[["elapsed"]]; out <- run(); list(out = out, took = proc.time()[["elapsed"]] - start) }
fit <- function(response, eps = 1e-9) {
  found <- timed(function() coxph(response() ~ x, ties = "efron", control = coxph.control(eps = eps)))
  answer(c(found$took, coef(found$out), sqrt(diag(vcov(found$out)))))
}
repeat {
  line <- readLines(input, 1)
  if (!length(line)) break
  word <- strsplit(line, " ")[[1]]
  if (word[1] == "load") {
    n <- as.integer(word[3]); q <- as.integer(word[4])
    column <- function(name, size = n) readBin(file.path(word[2], name), "double", size)
    time <- column("time"); event <- column("event"); cause <- factor(column("cause")); entry <- column("entry")
    x <- matrix(column("x", n * q), n)
    when <- as.numeric(quantile(time, c(0.25, 0.5, 0.75), type = 1))
    answer(0)
  } else if (startsWith(word[1], "cox")) {
    late <- startsWith(word[1], "cox_entry")
    fit(if (late) function() Surv(entry, time, event) else function() Surv(time, event),
        if (endsWith(word[1], "check")) 1e-14 else 1e-9)
  } else if (word[1] == "km") {
    found <- timed(function() survfit(Surv(time, event) ~ 1))
    read <- summary(found$out, times = when)
    answer(c(found$took, read$surv, read$std.err))
  } else if (word[1] == "aj") {
    found <- timed(function() survfit(Surv(time, cause) ~ 1))
    read <- summary(found$out, times = when)
    answer(c(found$took, read$pstate[, 2], read$std.err[, 2]))
  }
}
