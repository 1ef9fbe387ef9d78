# The errors of did_mpdta with the logistic regression at its optimum, and with the weights of the overall group average
# counted for their own groups. Base R only; the formulas are those of DRDID's *_did_panel and did::aggte, written out.
# Run here: Rscript did_converged.R
source("common.R"); d <- topic("its_did"); m <- read.csv(file.path(d, "mpdta.csv")); m <- m[order(m$countyreal, m$year), ]
years <- sort(unique(m$year)); Y <- matrix(m$lemp, ncol = length(years), byrow = TRUE); one <- m[m$year == years[1], ]; G <- one$first.treat; n <- nrow(Y)
cell <- function(dy, D, X, how, eps) {
  k <- length(dy); ps <- rep(0, k); mu <- rep(0, k); toward_p <- X * 0; toward_m <- X * 0
  if (how != "reg") {
    f <- suppressWarnings(glm(D ~ X - 1, family = binomial, control = glm.control(epsilon = eps, maxit = 50))); ps <- pmin(fitted(f), 1 - 1e-6)
    toward_p <- ((D - ps) * X) %*% (vcov(f) * k)
  }
  if (how != "ipw") {
    b <- coef(lm(dy ~ X - 1, subset = D == 0)); mu <- drop(X %*% b)
    toward_m <- ((1 - D) * (dy - mu) * X) %*% solve(crossprod((1 - D) * X, X) / k)
  }
  if (how == "reg") {
    top <- sum(D * dy) / sum(D); low <- sum(D * mu) / sum(D)
    psi <- (D * dy - D * top) / mean(D) - (D * mu - D * low + toward_m %*% colMeans(D * X)) / mean(D)
    return(list(att = top - low, psi = drop(psi)))
  }
  w <- ps * (1 - D) / (1 - ps); r <- dy - mu; top <- sum(D * r) / sum(D); low <- sum(w * r) / sum(w)
  treat <- (D * (r - top) - toward_m %*% colMeans(D * X)) / mean(D)
  cont <- (w * (r - low) + toward_p %*% colMeans(w * (r - low) * X) - toward_m %*% colMeans(w * X)) / mean(w)
  list(att = top - low, psi = drop(treat - cont))
}
all_cells <- function(x, how, notyet, eps) {
  out <- list(g = NULL, t = NULL, att = NULL, psi = NULL)
  for (g in c(2004, 2006, 2007)) for (j in 2:5) {
    b <- if (years[j] >= g) which(years == g - 1) else j - 1
    C <- if (notyet) G == 0 | (G > max(years[j], years[b]) & G != g) else G == 0
    use <- G == g | C; X <- if (x) cbind(1, one$lpop[use]) else matrix(1, sum(use), 1)
    z <- cell((Y[, j] - Y[, b])[use], as.numeric(G[use] == g), X, how, eps); psi <- numeric(n); psi[use] <- z$psi * n / sum(use)
    out$g <- c(out$g, g); out$t <- c(out$t, years[j]); out$att <- c(out$att, z$att); out$psi <- cbind(out$psi, psi)
  }
  out$psi <- unname(out$psi); out
}
se <- function(psi) sqrt(mean(psi^2) / n)
by_size <- function(att, psi, g, counted = g) {  # counted: the groups whose members the influence of the weights counts
  p <- sapply(g, function(a) mean(G == a)); S <- sum(p); ind <- sapply(counted, function(a) 1 * (G == a)) - rep(p, each = n)
  psi %*% (p / S) + (ind / S - rowSums(ind) %*% t(p) / S^2) %*% att
}
averages <- function(o) {
  pick <- function(i) by_size(o$att[i], o$psi[, i, drop = FALSE], o$g[i]); post <- o$t >= o$g; e <- o$t - o$g
  dyn <- sapply(-3:3, function(a) pick(which(e == a))); cal <- sapply(years[-1], function(a) pick(which(post & o$t == a)))
  gs <- c(2004, 2006, 2007); gr <- sapply(gs, function(a) rowMeans(o$psi[, post & o$g == a, drop = FALSE])); ga <- sapply(gs, function(a) mean(o$att[post & o$g == a]))
  list(se = sqrt(colMeans(o$psi^2) / n), simple = se(pick(which(post))), dynamic = apply(dyn, 2, se), dynamic_overall = se(rowMeans(dyn[, 4:7])),
    group = apply(gr, 2, se), group_overall = se(by_size(ga, gr, gs)), group_overall_as_did = se(by_size(ga, gr, gs, o$g[1:3])),
    calendar = apply(cal, 2, se), calendar_overall = se(rowMeans(cal)), W = { i <- which(o$g > o$t); drop(t(o$att[i]) %*% solve(crossprod(o$psi[, i]) / n^2) %*% o$att[i]) })
}
runs <- list(nevertreated_noX_dr = list(FALSE, "dr", FALSE), notyettreated_noX_dr = list(FALSE, "dr", TRUE), nevertreated_lpop_dr = list(TRUE, "dr", FALSE), nevertreated_lpop_ipw = list(TRUE, "ipw", FALSE), nevertreated_lpop_reg = list(TRUE, "reg", FALSE))
go <- function(r, eps) averages(all_cells(r[[1]], r[[2]], r[[3]], eps))
put(d, "did_converged", list(as_did = lapply(runs, go, eps = 1e-8), converged = lapply(runs, go, eps = 1e-15)), character(0),
  "errors of did_mpdta by its formulas in base R: glm stopped at R's 1e-8 as in did (as_did), and at the optimum (converged)", 1e-9, "mpdta.csv",
  c("group_overall: the influence of the weights counts the members of each group", "group_overall_as_did: did 2.1.2 counts those of the first cells' group instead (2004 three times)"))
