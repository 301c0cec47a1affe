"""datetime, calendar, time: moments that are given, and that the clocks go on."""
import calendar, datetime, time
from datetime import date, timedelta, timezone

moment = datetime.datetime(2024, 2, 29, 12, 34, 56, 789012, tzinfo=timezone(timedelta(hours=2), "here"))
print(moment, moment.astimezone(timezone.utc).isoformat(), moment.timestamp(), moment.strftime("%A %d %B %Y %j %U %I:%M %p %z %Z %%"), repr(moment.date()))
print(moment + timedelta(days=366, seconds=-1), moment - datetime.datetime(1970, 1, 1, tzinfo=timezone.utc), (moment + timedelta(weeks=52)).isocalendar())
print(datetime.datetime.strptime("03 Jan 2021 23:59", "%d %b %Y %H:%M"), datetime.datetime.fromisoformat("2011-11-04T00:05:23+04:00"), datetime.datetime.fromtimestamp(1e9, timezone.utc))
for wrong in (lambda: date(2023, 2, 29), lambda: datetime.datetime.strptime("x", "%Y"), lambda: date.fromisoformat("2024-13-01"), lambda: moment < datetime.datetime(2024, 1, 1), lambda: date.max + timedelta(1)):
    try:
        wrong()
    except Exception as error:
        print(type(error).__name__, error)
print(calendar.month(2024, 2), calendar.monthrange(2023, 2), calendar.isleap(1900), calendar.timegm((2000, 1, 1, 0, 0, 0)))
print(sum(1 for n in range(366 * 400) if (date(1600, 1, 1) + timedelta(n)).weekday() == 4 and (date(1600, 1, 1) + timedelta(n)).day == 13))
print(time.gmtime(0)[:6], time.strftime("%Y-%m-%d", time.gmtime(1e9)), time.tzname, time.localtime(86400).tm_hour, timedelta(days=-1, hours=1), timedelta(0.5) / timedelta(minutes=1))
before, cpu = time.monotonic(), time.process_time()
time.sleep(0.01)
print(time.monotonic() - before >= 0.01, time.process_time() >= cpu, time.time() > 1.7e9, abs(time.time_ns() / 1e9 - time.time()) < 60, time.get_clock_info("monotonic").monotonic)
