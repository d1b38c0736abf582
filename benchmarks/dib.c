/* Dollar imbalance bars as a bare loop: the tick rule, theta and the adaptive threshold.
   What benchmarks/kernels.py compares the kernels with; returns the number of full bars. */

#include <math.h>
#include <stdint.h>

int64_t dib(const double *prices, const double *sizes, int64_t count, double target,
            double alpha, double gamma, double kappa, int64_t *closes)
{
    double theta = 0, threshold = target, expected_ticks = 0, expected_imbalance = 0;
    double previous = NAN;
    int64_t sign = 0, first = 0, bars = 0;
    for (int64_t i = 0; i < count; i++) {
        double price = prices[i];
        int64_t change = (price > previous) - (price < previous);
        sign = change ? change : sign;
        previous = price;
        theta += price * sizes[i] * (double)sign;
        if (fabs(theta) < threshold)
            continue;
        double ticks = (double)(i - first + 1), imbalance = theta / ticks;
        double weight = bars ? alpha : 1.0;
        expected_ticks += weight * (ticks - expected_ticks);
        expected_imbalance += weight * (imbalance - expected_imbalance);
        double raw = expected_ticks * fabs(expected_imbalance);
        threshold = target * pow(raw / target, gamma);
        threshold = fmin(fmax(threshold, target / kappa), target * kappa);
        closes[bars++] = i;
        first = i + 1;
        theta = 0;
    }
    return bars;
}
