# R's MatchIt as a peer of the benchmarks, for time only: Debian's 4.5.1 lets pairs through that lie outside the caliper.
# Reads commands from standard input, one a line, and answers each with one line of numbers, the seconds first.
#   load FOLDER N    columns of N doubles each: logit, treated
#   match            seconds, pairs
suppressMessages(library(MatchIt))
input <- file("stdin")
open(input)
answer <- function(values) { cat(sprintf("%.17g", values), "\n"); flush(stdout()) }
repeat {
  line <- readLines(input, 1)
  if (!length(line)) break
  word <- strsplit(line, " ")[[1]]
  if (word[1] == "load") {
    column <- function(name) readBin(file.path(word[2], name), "double", as.integer(word[3]))
    people <- data.frame(treated = column("treated"), logit = column("logit"))
    answer(0)
  } else {
    invisible(gc())
    start <- proc.time()[["elapsed"]]
    found <- matchit(treated ~ logit, people, method = "nearest", distance = people$logit, caliper = 0.2, m.order = "largest")
    answer(c(proc.time()[["elapsed"]] - start, sum(!is.na(found$match.matrix[, 1]))))
  }
}
