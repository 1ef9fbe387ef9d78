# Tests of differences between groups, and the moments and quartiles they rest on. Base R only.
source("common.R"); d <- topic("epi")
set.seed(20261126); n <- 90
site <- sample(c("north", "south", "west"), n, TRUE, c(.5, .3, .2)); arm <- sample(c("offered", "usual"), n, TRUE, c(.4, .6))
o <- data.frame(seed = 20261126, arm = arm, site = site,
  age = round(rnorm(n, 60 + 4 * (site == "west"), 8 + 6 * (arm == "usual")), 1),
  stay = rpois(n, 2 + 2 * (arm == "offered")) , ldl = round(rlnorm(n, 1, .5), 2),
  smoking = sample(c("never", "former", "current"), n, TRUE, c(.5, .3, .2)),
  diabetes = rbinom(n, 1, .3), transplant = rbinom(n, 1, .06), weight = round(runif(n, .2, 3), 2))
o$age[c(3, 40)] <- NA; o$ldl[c(7, 8, 9, 77)] <- NA; o$smoking[c(5, 6)] <- NA
f <- csv(d, "group_tests", o)
num_test <- function(r) list(statistic = unname(r$statistic), df = arr(unname(r$parameter)), p = r$p.value)
welch <- function(x, g) { r <- if (length(unique(g)) == 2) t.test(x ~ g) else oneway.test(x ~ g); num_test(r) }
kw <- function(x, g) num_test(kruskal.test(x, factor(g)))
chi <- function(x, g) num_test(suppressWarnings(chisq.test(table(x, g), correct = FALSE)))
fish <- function(x, g) list(p = fisher.test(table(x, g))$p.value)
mo <- function(x, g) lapply(split(x, g), function(v) { v <- v[!is.na(v)]; list(n = length(v), mean = mean(v), variance = var(v), quartiles = unname(quantile(v, c(.25, .5, .75), type = 7))) })
by <- function(f, x) list(arm = f(x, o$arm), site = f(x, o$site))
wm <- function(g) { k <- o$arm == g & !is.na(o$age); w <- o$weight[k]; x <- o$age[k]; m <- sum(w * x) / sum(w); list(mean = m, variance = sum(w * (x - m)^2) / (sum(w) - sum(w^2) / sum(w)), ess = sum(o$weight[o$arm == g])^2 / sum(o$weight[o$arm == g]^2)) }
mw <- suppressWarnings(wilcox.test(stay ~ arm, data = o, exact = FALSE, correct = FALSE))
put(d, "group_tests", list(
  moments = list(age = by(mo, o$age), stay = by(mo, o$stay), ldl = by(mo, o$ldl)),
  welch = list(age = by(welch, o$age), ldl = by(welch, o$ldl)),
  kruskal = list(stay = by(kw, o$stay), ldl = by(kw, o$ldl)), mann_whitney_stay_p = mw$p.value,
  chi_squared = list(smoking = by(chi, o$smoking), diabetes = by(chi, o$diabetes), transplant = list(site = chi(o$transplant, o$site))),
  fisher = list(transplant = fish(o$transplant, o$arm)),
  weighted_age = list(offered = wm("offered"), usual = wm("usual"))),
  character(0), "base R: t.test, oneway.test, kruskal.test, wilcox.test, chisq.test(correct = FALSE), fisher.test; data generated with the seed of the CSV's first column", 1e-10, f)
