source("common.R"); suppressPackageStartupMessages(library(survival)); d <- topic("epi")
# Made-up follow-up: days are watched on entry < day <= exit; some are born on 29 February, some enter or leave on a
# birthday or on 1 January, some have several events, some none.
set.seed(20); n <- 80
born <- as.Date("1930-01-01") + sample(0:30000, n); born[1:6] <- as.Date(c("1952-02-29", "1956-02-29", "1960-02-29", "2000-02-29", "1948-02-29", "1936-02-29"))
entry <- as.Date("2018-06-01") + sample(0:700, n, replace = TRUE); exit <- entry + sample(1:1300, n, replace = TRUE)
entry[7:9] <- as.Date(c("2019-12-31", "2020-01-01", "2019-01-01")); exit[10:12] <- as.Date(c("2020-12-31", "2021-01-01", "2022-01-01"))
bday <- function(b, age) { l <- as.POSIXlt(b); l$year <- l$year + age; as.Date(as.POSIXct(l, tz = "UTC")) }  # 29 February becomes 1 March
entry[13] <- bday(born[13], 2019 - as.POSIXlt(born[13])$year - 1900); exit[13] <- max(exit[13], entry[13] + 400)
entry[14] <- bday(born[14], 2019 - as.POSIXlt(born[14])$year - 1900) - 1; exit[14] <- max(exit[14], entry[14] + 400)
exit <- pmax(exit, entry + 1)
person <- data.frame(id = 1:n, born = born, entry = entry, exit = exit)
k <- rpois(n, 1.5); ev <- do.call(rbind, lapply(which(k > 0), function(i) data.frame(id = i, day = sort(entry[i] + sample.int(as.integer(exit[i] - entry[i]), min(k[i], as.integer(exit[i] - entry[i])))))))
f1 <- csv(d, "lexis_persons", person); f2 <- csv(d, "lexis_events", ev)
cal <- as.Date(c("2019-01-01", "2020-01-01", "2021-01-01", "2022-01-01", "2023-01-01")); ages <- c(18, 45, 65, 75)
# A counting process: one row up to each event, then the rest.
cp <- do.call(rbind, lapply(1:n, function(i) { t <- ev$day[ev$id == i]; s <- unique(c(as.integer(t), as.integer(exit[i]))); data.frame(id = i, start = c(as.integer(entry[i]), head(s, -1)), stop = s, event = as.integer(s %in% as.integer(t))) }))
# Cut at the end of the day before each 1 January, then each person at the day before each of their birthdays.
sp <- survSplit(Surv(start, stop, event) ~ ., data = cp, cut = as.integer(cal) - 1, episode = "period")
sp <- do.call(rbind, lapply(split(sp, sp$id), function(x) { b <- born[x$id[1]]; survSplit(Surv(start, stop, event) ~ ., data = x, cut = as.integer(bday(b, ages)) - 1, episode = "band") }))
days <- xtabs(I(stop - start) ~ factor(period, 1:6) + factor(band, 1:5), sp); events <- xtabs(event ~ factor(period, 1:6) + factor(band, 1:5), sp)
# The calendar alone by pyears, which follows a moving date itself.
py <- pyears(Surv(as.integer(exit - entry), rep(0, n)) ~ tcut(as.integer(entry), c(0, as.integer(cal) - 1, 1e6)), scale = 1)
w <- round(runif(n, .2, 3), 3); wd <- xtabs(I((stop - start) * w[id]) ~ factor(period, 1:6) + factor(band, 1:5), sp); we <- xtabs(I(event * w[id]) ~ factor(period, 1:6) + factor(band, 1:5), sp)
put(d, "lexis", list(calendar = format(cal), ages = ages, days = unclass(unname(days)), events = unclass(unname(events)), pyears_calendar = as.vector(py$pyears), weight = w, weighted_days = unclass(unname(wd)), weighted_events = unclass(unname(we)), at_age = list(born = "1952-02-29", age = 67:69, birthday = format(bday(as.Date("1952-02-29"), 67:69)))), "survival", "generated; survSplit on the calendar, then on each person's birthdays; pyears with tcut", 1e-12, c(f1, f2))
