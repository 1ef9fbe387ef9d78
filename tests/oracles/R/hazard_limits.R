# Limits of exp(-cumulative hazard) on four scales: survfit(stype = 2, ctype = 1). Run here: Rscript hazard_limits.R
source("common.R"); library(survival); d <- topic("survival")
limits <- function(form, data) {
  out <- list()
  for (scale in c("log-log", "log", "plain", "arcsin")) {
    s <- summary(survfit(form, data = data, stype = 2, ctype = 1, robust = FALSE, conf.type = scale), censored = TRUE)
    out[[scale]] <- list(lower = s$lower, upper = s$upper)
  }
  out
}
lung <- read.csv(file.path(d, "km_lung_sex.csv")); heart <- read.csv(file.path(d, "km_heart_tv.csv"))
put(d, "hazard_limits", list(
  km_lung_sex = limits(Surv(time, event) ~ sex, lung),
  km_heart_tv = limits(Surv(start, stop, event) ~ transplant, heart)
), "survival", "survfit of the same inputs as km_lung_sex and km_heart_tv", 1e-8, c("km_lung_sex.csv", "km_heart_tv.csv"))
