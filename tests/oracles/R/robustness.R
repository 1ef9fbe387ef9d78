# Reference values of the sensitivity analyses. Run as MICE=/where/mice/is Rscript robustness.R: only the code of two
# functions of mice 3.15.0 is read (pool.scalar, barnard.rubin), so its other packages need not be there.
source("common.R"); d <- topic("epi")
mice <- new.env(); invisible(lazyLoad(file.path(Sys.getenv("MICE"), "R", "mice"), mice))
pool <- mice$pool.scalar; environment(pool) <- mice
version <- read.dcf(file.path(Sys.getenv("MICE"), "DESCRIPTION"))[1, "Version"]; stopifnot(version == "3.15.0")

# 1. Rubin's rules
sets <- list(
  five = list(q = c(1.2, 1.5, .9, 1.4, 1.1), u = c(.04, .05, .045, .038, .06), n = 100, k = 3),
  large = list(q = c(-512.3, -498.1, -530.8, -505.5), u = c(93000, 91500, 95200, 90800), n = Inf, k = 1),
  two = list(q = c(.31, .35), u = c(.01, .012), n = 30, k = 2))
rubin <- lapply(sets, function(s) { p <- pool(s$q, s$u, n = s$n, k = s$k)
  list(q = s$q, u = s$u, df_complete = if (is.finite(s$n)) s$n - s$k else NULL, estimate = p$qbar, within = p$ubar,
    between = p$b, total = p$t, df = p$df, increase = p$r, missing_information = p$fmi) })

# 2. Systematic error: the likelihood of each estimate by integration over its own systematic error, the maximum by BFGS
set.seed(41); k <- 30; s <- round(runif(k, .05, .45), 3); y <- round(rnorm(k, .15, .2) + rnorm(k, 0, s), 4)
inside <- function(y, s, m, t) integrate(function(e) dnorm(y, e, s) * dnorm(e, m, t), min(y, m) - 8 * max(s, t), max(y, m) + 8 * max(s, t), rel.tol = 1e-12, subdivisions = 2000L)$value
fit <- function(y, s) { f <- function(p) -sum(mapply(function(a, b) log(inside(a, b, p[1], exp(p[2]))), y, s))
  o <- optim(c(mean(y), log(sd(y))), f, method = "BFGS", control = list(reltol = 1e-15, maxit = 500), hessian = FALSE); c(o$par[1], exp(o$par[2]), -o$value) }
a <- fit(y, s)
one <- list(y = .4, s = .12); sp <- sqrt(one$s^2 + a[2]^2)
calibration <- list(log_estimates = y, std_errors = s, mean = a[1], sd = a[2], log_likelihood = a[3],
  expected_absolute = integrate(function(e) abs(e) * dnorm(e, a[1], a[2]), -5, 5, rel.tol = 1e-12, subdivisions = 2000L)$value,
  one = list(log_estimate = one$y, std_error = one$s, p = 2 * min(pnorm((a[1] - one$y) / sp), pnorm((one$y - a[1]) / sp)), low = one$y - a[1] - qnorm(.975) * sp, high = one$y - a[1] + qnorm(.975) * sp),
  first_left_out = { b <- fit(y[-1], s[-1]); 2 * pnorm(-abs(y[1] - b[1]) / sqrt(s[1]^2 + b[2]^2)) })

# 3. Regression to the mean of a bivariate normal, by integration over everybody beyond the cutoff
cases <- list(list(m = 120, s = 15, r = .7, c = 140, m2 = 120, s2 = 15), list(m = 3000, s = 2500, r = .4, c = 7000, m2 = 3200, s2 = 2700), list(m = 0, s = 1, r = .5, c = 4.5, m2 = 0, s2 = 1))
rtm <- lapply(cases, function(v) { w <- function(g) integrate(function(x) g(x) * dnorm(x, v$m, v$s), v$c, v$c + 12 * v$s, rel.tol = 1e-12, subdivisions = 2000L)$value
  n <- w(function(x) 1); c(v, before = w(function(x) x) / n, after = w(function(x) v$m2 + v$r * v$s2 / v$s * (x - v$m)) / n) })

# 4. Interval of bounds (Imbens and Manski): the constant by bisection
im <- lapply(list(c(-1, .5, 2, .7), c(.1, .2, .1, .2), c(0, .001, 5, .001)), function(v) { g <- (v[3] - v[1]) / max(v[2], v[4])
  k <- uniroot(function(z) pnorm(z + g) - pnorm(-z) - .95, c(0, 3), tol = 1e-14)$root; list(low = v[1], low_error = v[2], high = v[3], high_error = v[4], conf_low = v[1] - k * v[2], conf_high = v[3] + k * v[4]) })

put(d, "robustness", list(rubin = rubin, calibration = calibration, regression_to_mean = rtm, bounds = im), character(0),
  "pool.scalar of mice 3.15.0; integrate, optim and uniroot of base R", 1e-8,
  notes = list(calibration = "maximum by BFGS on a numerical likelihood: mean and sd agree to 1e-5, values made from them too"))
