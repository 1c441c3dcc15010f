// A model in Node that speaks MLflow's scoring protocol: a flat is worth 100 below 50 square metres, 200 from there.
const http = require('http');
const spoil = process.env.SPOIL;
http.createServer((request, response) => {
  if (request.url === '/ping') return response.end('\n');
  let body = '';
  request.on('data', part => body += part);
  request.on('end', () => {
    const { dataframe_split: frame } = JSON.parse(body);
    const size = frame.columns.indexOf('size');
    const predictions = frame.data.map(row => row[size] < 50 ? 100 : 200);
    response.setHeader('content-type', 'application/json');
    // The row for the first prediction is zeros: it starts well, and spoils real ones.
    const real = frame.data.some(row => row[size] > 0);
    if (real && spoil === 'fails') { response.statusCode = 500; return response.end('{"message": "no more"}'); }
    if (real && spoil === 'dies') process.exit(3);
    if (real && spoil === 'garbage') return response.end('{"predictions": ["NaN?", {}');
    if (real && spoil === 'wrong_shape') return response.end(JSON.stringify({ predictions: [...predictions, 1] }));
    if (real && spoil === 'nan') return response.end('{"predictions": [NaN]}');
    response.end(JSON.stringify({ predictions }));
  });
}).listen(process.env.PORT, '127.0.0.1');
