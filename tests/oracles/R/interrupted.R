# Interrupted time series on a made-up pair of series: base R only. Newey-West, REML and the delta method are written
# from their definitions (double loops over pairs of periods, dense matrices, numerical derivatives).
source("common.R"); d <- topic("its_did")
seed <- 20261126; set.seed(seed); n <- 72; time <- 1:n; month <- (time - 1) %% 12 + 1
ar <- function(n, rho, sd) { e <- rnorm(n, 0, sd); x <- e; x[1] <- e[1] / sqrt(1 - rho^2); for (i in 2:n) x[i] <- rho * x[i - 1] + e[i]; x }
make <- function(treated) { since <- pmax(0, time - 40); after <- time >= 41
  wave <- sin(2 * pi * month / 12); exposure <- round(5000 + 8 * time + runif(n, -60, 60)); change <- if (treated) -.25 else -.05
  mu <- exp(-4.2 + .004 * time + change * after - .004 * treated * since + .12 * wave + ar(n, .3, .06)) * exposure
  data.frame(treated = treated, time = time, month = month, exposure = exposure, events = rpois(n, mu),
    value = round(50 + .2 * time - (if (treated) 6 else 1) * after - .15 * treated * since + 2 * wave + ar(n, .5, 2), 4)) }
s <- rbind(make(1), make(0)); f <- csv(d, "interrupted", s)
s$level <- as.numeric(s$time >= 41); s$since <- pmax(0, s$time - 40)
harm <- function(m) cbind(sin(2 * pi * m / 12), cos(2 * pi * m / 12), sin(4 * pi * m / 12), cos(4 * pi * m / 12))
a <- s[s$treated == 1, ]; tight <- glm.control(epsilon = 1e-15, maxit = 100)
# scores and bread at dispersion 1; the covariance sums over every pair of rows closer than the lag
pieces <- function(m) { X <- model.matrix(m); w <- if (inherits(m, "glm")) m$family$variance(fitted(m)) else rep(1, nrow(X))
  r <- if (inherits(m, "glm")) m$y - fitted(m) else residuals(m); list(scores = X * r, bread = solve(t(X) %*% (X * w)), X = X, w = w) }
nw <- function(m, t, L, small = FALSE) { p <- pieces(m); k <- ncol(p$X); M <- matrix(0, k, k)
  for (i in seq_along(t)) for (j in seq_along(t)) { g <- abs(t[i] - t[j]); if (g <= L) M <- M + (1 - g / (L + 1)) * p$scores[i, ] %o% p$scores[j, ] }
  V <- p$bread %*% M %*% p$bread; if (small) V * length(t) / (length(t) - k) else V }
hc <- function(m, type) { p <- pieces(m); n <- nrow(p$X); k <- ncol(p$X); h <- vapply(1:n, function(i) p$w[i] * p$X[i, ] %*% p$bread %*% p$X[i, ], 0)
  u <- p$scores; if (type == "HC3") u <- u / (1 - h); V <- p$bread %*% t(u) %*% u %*% p$bread; if (type == "HC1") V * n / (n - k) else V }
se <- function(V) unname(sqrt(diag(V)))
out <- function(m, V = vcov(m)) list(coef = unname(coef(m)), se = se(V))
bandwidth <- function(m) { p <- pieces(m); h <- rowSums(p$scores[, -1, drop = FALSE]); n <- length(h); m0 <- floor(4 * (n / 100)^(2 / 9))
  sig <- vapply(0:m0, function(j) { z <- 0; for (i in 1:n) if (i > j) z <- z + h[i] * h[i - j]; z / n }, 0)
  1.1447 * (n * (2 * sum((1:m0) * sig[-1]) / (sig[1] + 2 * sum(sig[-1])))^2)^(1 / 3) }
# prewhitened by a first-order vector autoregression (ar, method "ols"), as sandwich does it, and its bandwidth
white <- function(m) { v <- stats::ar(pieces(m)$scores, order.max = 1, aic = FALSE, demean = FALSE, method = "ols"); list(u = v$resid[-1, ], D = solve(diag(ncol(v$resid)) - v$ar[1, , ])) }
nwp <- function(m, L) { w <- white(m); p <- pieces(m); u <- w$u; M <- 0; for (i in 1:nrow(u)) for (j in 1:nrow(u)) { g <- abs(i - j); if (g <= L) M <- M + (1 - g / (L + 1)) * u[i, ] %o% u[j, ] }
  p$bread %*% w$D %*% M %*% t(w$D) %*% p$bread }
bwp <- function(m) { h <- rowSums(white(m)$u[, -1]); n <- length(h) + 1; m0 <- floor(3 * (n / 100)^(2 / 9)); sig <- vapply(0:m0, function(j) { z <- 0; for (i in seq_along(h)) if (i > j) z <- z + h[i] * h[i - j]; z }, 0)
  1.1447 * (n * (2 * sum((1:m0) * sig[-1]) / (sig[1] + 2 * sum(sig[-1])))^2)^(1 / 3) }
# the counterfactual: derivatives of each quantity by the coefficients, central differences with Richardson's step
grad <- function(fun, b) { k <- length(b); D <- function(h) sapply(1:k, function(j) { e <- replace(numeric(k), j, h * max(abs(b[j]), 1e-2)); (fun(b + e) - fun(b - e)) / (2 * e[j]) })
  (4 * D(5e-4) - D(1e-3)) / 3 }
delta <- function(fun, b, V, q, log = FALSE) { v <- unname(fun(b)); g <- if (log) grad(function(x) log(fun(x)), b) else grad(fun, b); e <- sqrt(sum(g * (V %*% g)))
  if (log) list(value = v, low = v * exp(-q * e), high = v * exp(q * e)) else list(value = v, se = e, low = v - q * e, high = v + q * e) }
cf <- function(m, V, X1, X0, off, inverse, q, log) { with <- function(b) inverse(drop(X1 %*% b) + off); wo <- function(b) inverse(drop(X0 %*% b) + off); b <- unname(coef(m))
  at <- function(i) list(counterfactual = delta(function(x) wo(x)[i], b, V, q, log), effect = delta(function(x) with(x)[i] - wo(x)[i], b, V, q), ratio = delta(function(x) with(x)[i] / wo(x)[i], b, V, q, TRUE))
  list(first = at(1), last = at(nrow(X1)), total = list(counterfactual = delta(function(x) sum(wo(x)), b, V, q, log), effect = delta(function(x) sum(with(x)) - sum(wo(x)), b, V, q), ratio = delta(function(x) sum(with(x)) / sum(wo(x)), b, V, q, TRUE))) }
# 1. one linear series
o <- lm(value ~ time + level + since, a); r <- residuals(o); X <- model.matrix(o)
lag0 <- sapply(1:12, function(l) c(rep(0, l), r[1:(n - l)])); bg <- summary(lm(r ~ X + lag0 - 1))$r.squared
ac <- acf(r, 12, plot = FALSE, demean = FALSE)$acf[-1]; lb <- Box.test(r, 12, "Ljung-Box"); V3 <- nw(o, a$time, 3); post <- a$level == 1; X0 <- X; X0[, c("level", "since")] <- 0
linear <- c(out(o), list(newey_west = list(lag0 = se(nw(o, a$time, 0)), lag3 = se(V3), lag9 = se(nw(o, a$time, 9)), lag3_small = se(nw(o, a$time, 3, TRUE))),
  hc = list(HC0 = se(hc(o, "HC0")), HC1 = se(hc(o, "HC1")), HC3 = se(hc(o, "HC3"))), prewhitened = list(lag0 = se(nwp(o, 0)), lag3 = se(nwp(o, 3)), bandwidth = bwp(o)), bandwidth = bandwidth(o), low = unname(coef(o) - qt(.975, n - 4) * se(V3)),
  autocorrelation = ac, durbin_watson = sum(diff(r)^2) / sum(r^2), ljung_box = unname(lb$statistic), ljung_box_p = lb$p.value, breusch_godfrey = n * bg,
  counterfactual = cf(o, V3, X[post, ], X0[post, ], 0, identity, qt(.975, n - 4), FALSE)))
# 2. counts: harmonics, indicators of months, errors of each kind
q <- glm(events ~ time + level + since + harm(month) + offset(log(exposure)), quasipoisson, a, control = tight)
qm <- glm(events ~ time + level + factor(month) + offset(log(exposure)), quasipoisson, a, control = tight)
Xq <- model.matrix(q); X0 <- Xq; X0[, c("level", "since")] <- 0
counts <- c(out(q), list(dispersion = summary(q)$dispersion, newey_west3 = se(nw(q, a$time, 3)), HC1 = se(hc(q, "HC1")), counterfactual = cf(q, vcov(q), Xq[post, ], X0[post, ], log(a$exposure[post]), exp, qt(.975, n - 8), TRUE)))
# 3. two interruptions; a transition of 3 periods left out; a control series (scores of a period are summed)
two <- lm(value ~ time + I(time >= 25) + pmax(0, time - 24) + I(time >= 49) + pmax(0, time - 48), a)
b <- a[!(a$time %in% 41:43), ]; tr <- lm(value ~ time + I(time >= 44) + pmax(0, time - 43), b)
s2 <- s[order(s$treated, s$time), ]; cc <- glm(events ~ time + level + since + treated + treated:time + treated:level + treated:since + offset(log(exposure)), quasipoisson, s2, control = tight)
Xc <- model.matrix(cc)[s2$treated == 1 & s2$level == 1, ]; X0 <- Xc; X0[, c("level:treated", "since:treated")] <- 0; Vc <- nw(cc, s2$time, 3)
control <- c(list(term = names(coef(cc))), out(cc), list(newey_west3 = se(Vc), counterfactual = cf(cc, Vc, Xc, X0, log(s2$exposure[s2$treated == 1 & s2$level == 1]), exp, qt(.975, 2 * n - 8), TRUE)))
# 4. AR(1) errors: arima brought to its optimum; REML from dense matrices; both also with months 10, 11, 30 and 55 missing
arml <- function(y, X) { m <- arima(y, c(1, 0, 0), xreg = X, method = "ML", transform.pars = FALSE, optim.control = list(reltol = 1e-16, maxit = 2000, ndeps = rep(1e-4, 5))); V <- m$var.coef
  list(coef = unname(coef(m)[c(2:5)]), rho = unname(coef(m)[1]), loglik = m$loglik, sigma2 = m$sigma2, se = unname(sqrt(diag(V)))[2:5], rho_se = sqrt(V[1, 1])) }
reml <- function(y, X, t) { n <- length(y); k <- ncol(X); fit <- function(rho) { R <- rho^abs(outer(t, t, "-")); W <- solve(R); G <- t(X) %*% W %*% X; b <- solve(G, t(X) %*% W %*% y); e <- y - X %*% b; q <- drop(t(e) %*% W %*% e)
    list(b = drop(b), V = q / (n - k) * solve(G), ll = -.5 * ((n - k) * (log(2 * pi) + 1 + log(q / (n - k))) + c(determinant(R)$modulus) + c(determinant(G)$modulus)), s2 = q / (n - k)) }
  slope <- function(rho) (8 * (fit(rho + 1e-4)$ll - fit(rho - 1e-4)$ll) - (fit(rho + 2e-4)$ll - fit(rho - 2e-4)$ll)) / 12e-4
  rho <- uniroot(slope, c(.05, .95), tol = 1e-13)$root; z <- fit(rho); list(coef = unname(z$b), se = unname(sqrt(diag(z$V))), rho = rho, loglik = z$ll, variance = z$s2) }
gone <- c(10, 11, 30, 55); holes <- replace(a$value, gone, NA); xr <- X[, -1]
ar1 <- list(ml = arml(a$value, xr), reml = reml(a$value, X, a$time), ml_gaps = arml(holes, xr), reml_gaps = reml(a$value[-gone], X[-gone, ], a$time[-gone]))
put(d, "interrupted", list(linear = linear, counts = counts, months = out(qm), two = out(two), transition = c(out(tr), list(newey_west3 = se(nw(tr, b$time, 3)))), control = control, ar1 = ar1),
  character(0), paste("base R: lm, glm, arima, acf, Box.test, the rest by definition; data generated with seed", seed), 1e-8, f,
  c("coefficients in the order intercept, time, level, slope, ...", "ar1: R finds the optimum and its Hessian by numerical differences: 1e-6", "counterfactual: numerical derivatives: 1e-7"))
